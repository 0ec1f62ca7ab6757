// Selections with floors and caps, against a greedy choice and against all masks there are.

import Testing

@testable import SwiftForceCore

@Suite struct BoundedSelectionTests {
  @Test func masksAreThoseOfAGreedyChoice() throws {
    var generator = TestGenerator(state: 1)
    var possible = 0
    for round in 0..<1500 {
      let trial = BoundedTrial.random(&generator, length: [3, 5, 9][round % 3])
      guard let expected = trial.greedy() else {
        #expect(throws: SFError.self) { try trial.check() }
        continue
      }
      possible += 1
      let level = CPULevel.available[round % CPULevel.available.count]
      let (masks, _) = try trial.check(level: level, threads: 1 + round % 3)
      #expect(masks == expected, "\(trial)")
    }
    #expect(possible > 400)
  }

  @Test func noMasksHaveALargerScore() throws {
    var generator = TestGenerator(state: 2)
    var compared = 0
    for _ in 0..<1500 {
      let trial = BoundedTrial.random(&generator, length: 2)
      guard trial.scores.count <= 10, let best = trial.best() else { continue }
      let (masks, _) = try trial.check()
      #expect(trial.total(masks) == best, "\(trial)")
      compared += 1
    }
    #expect(compared > 150)
  }

  /// Tensors of several chunks and tiles: one with floors of output units that lie next to each
  /// other, one with units that lie between each other, in runs, and with groups.
  @Test(arguments: CPULevel.available, [2, 1000, 1 << 18])
  func largeTensors(level: CPULevel, range: Int) throws {
    var generator = TestGenerator(state: 3)
    var floors = Bounds()
    (floors.outputs, floors.inner, floors.leastPerOutput, floors.least) = (120, 500, 2, 4000)
    var caps = Bounds()
    (caps.outputs, caps.inner, caps.group, caps.mostPerGroup) = (48, 25, 4, 2)
    (caps.most, caps.leastPerOutput, caps.mostPerOutput) = (8000, 1, 400)
    let sizes = [120 * 500, 48 * 25 * 40]
    let scores = (0..<sizes[0] + sizes[1]).map { i in
      Double(Int.random(in: -range / 2..<range, using: &generator)) * (i < sizes[0] ? 0.25 : 1)
    }
    for (isWide, keep) in [(false, 4048), (true, 14_000), (false, 40_000)] {
      let trial = BoundedTrial(
        scores: scores, sizes: sizes, bounds: [floors, caps], keep: keep, isWide: isWide)
      let (masks, report) = try trial.check(level: level, threads: 1)
      #expect(masks == trial.greedy())
      for threads in 2...3 {
        let other = try trial.check(level: level, threads: threads)
        #expect(other.masks == masks && other.report == report)
      }
    }
  }

  /// By definition: with all that bounds decide taken away, the open weights have a threshold.
  /// Floors keep weights below it, and caps remove weights above it.
  @Test func floorsAndCapsAreCounted() throws {
    var bounds = [Bounds(), Bounds(), Bounds()]
    (bounds[0].least, bounds[1].most) = (2, 1)
    var trial = BoundedTrial(
      scores: [1, 2, 3, 9, 8, 7, 6, 5, 4, 3.5], sizes: [3, 3, 4], bounds: bounds, keep: 5)
    var (masks, report) = try trial.check()
    #expect(masks == [0, 1, 1, 1, 0, 0, 1, 1, 0, 0])
    // The threshold is 5. The floor keeps 2 and 3, and the cap removes 8 and 7.
    #expect(report.keptByFloors == 2)
    #expect(report.removedByCaps == 2)
    #expect(report.threshold == 2)
    trial.bounds = [Bounds(), Bounds(), Bounds()]
    (masks, report) = try trial.check()
    #expect(report.keptByFloors == 0 && report.removedByCaps == 0)
    // Nothing is open that scores of all tensors decide.
    trial.bounds[0].least = 3
    trial.bounds[1].least = 2
    (masks, report) = try trial.check()
    #expect(masks == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    #expect(report.keptByFloors == 0 && report.removedByCaps == 0)
  }

  @Test func capsOfNothing() throws {
    for change in [
      { $0.most = 0 }, { $0.mostPerOutput = 0 }, { ($0.group, $0.mostPerGroup) = (2, 0) },
    ] as [(inout Bounds) -> Void] {
      var bounds = [Bounds(), Bounds()]
      change(&bounds[0])
      let trial = BoundedTrial(
        scores: [9, 8, 7, 1, -2, 3], sizes: [3, 3], bounds: bounds, keep: 2)
      let (masks, report) = try trial.check()
      #expect(masks == [0, 0, 0, 1, 0, 1])
      #expect(report.removedByCaps == 3)
    }
  }

  @Test func emptyTensors() throws {
    var bound = Bounds()
    (bound.outputs, bound.inner, bound.leastPerOutput) = (2, 2, 1)
    (bound.group, bound.mostPerGroup) = (2, 1)
    let trial = BoundedTrial(
      scores: [4, 3, 2, 1], sizes: [0, 4, 0], bounds: [bound, bound, Bounds()], keep: 2)
    #expect(try trial.check().masks == [1, 0, 1, 0])
  }

  @Test func demandsThatCannotBeMet() throws {
    let nested = BoundedTrial(
      scores: [4, 3, 2, 1], sizes: [2, 2], bounds: [Bounds(), Bounds()], keep: 2)
    func refusal(
      _ keep: Int, before: [UInt8], _ change: (inout [Bounds]) -> Void
    ) throws -> String? {
      var trial = nested
      trial.keep = keep
      change(&trial.bounds)
      let step = try trial.step(before: before, .survivors)
      #expect(step.isRestored)
      return step.error?.message
    }
    #expect(
      try refusal(2, before: [1, 1, 0, 1]) { $0[1].least = 2 }
        == "weights[1]: at least 2 of 2 weights must be kept, and 1 may be")
    #expect(
      try refusal(2, before: [1, 1, 0, 1]) {
        ($0[1].outputs, $0[1].leastPerOutput) = (2, 1)
      } == "weights[1]: at least 1 weights of output unit 0 must be kept, and 0 compete")
    #expect(
      try refusal(3, before: [1, 1, 0, 1]) { $0[0].most = 1 }
        == "3 weights are to be kept, and 2 may be")
    #expect(try refusal(2, before: [1, 1, 0, 1]) { $0[0].most = 1 } == nil)
  }

  /// With the masks of a step before: nested ones are choices among the survivors, and masked
  /// weights are written, or put back.
  @Test(arguments: [false, true], [Competition.all, .survivors])
  func steps(isWide: Bool, competition: Competition) throws {
    var generator = TestGenerator(state: 5)
    var (possible, refused) = (0, 0)
    for round in 0..<400 {
      var trial = BoundedTrial.random(&generator, length: [3, 5, 9][round % 3])
      trial.isWide = isWide
      let before = trial.scores.map { _ in
        UInt8(Int.random(in: 0..<4, using: &generator) > 0 ? 1 : 0)
      }
      trial.competes = competition == .survivors ? before.map { $0 == 1 } : nil
      guard trial.keep <= (trial.competes ?? []).count(where: \.self) || competition == .all else {
        continue
      }
      // What a search refuses before its first step.
      guard
        failure({ try Limits(bounds: trial.bounds).check([trial.keep], of: trial.sizes) }) == nil
      else { continue }
      let step = try trial.step(before: before, competition, threads: 1 + round % 3)
      #expect(step.isRestored)
      guard let expected = trial.greedy() else {
        refused += 1
        guard case .badBounds = step.error else {
          Issue.record("\(trial) \(String(describing: step.error))")
          continue
        }
        continue
      }
      possible += 1
      #expect(step.error == nil && step.masks == expected, "\(trial)")
      let report = step.report
      #expect(report.removed == zip(before, expected).count { $0 == 1 && $1 == 0 })
      #expect(report.revived == zip(before, expected).count { $0 == 0 && $1 == 1 })
      #expect(report.totalSaliency == trial.total(trial.competes?.map { $0 ? 1 : 0 }))
      #expect(report.saliency == trial.total(expected))
      #expect(report.objectiveBefore == trial.total(before))
      #expect(report.candidates == (trial.competes?.count { $0 } ?? trial.scores.count))
    }
    #expect(possible > 80 && (refused > 0) == (competition == .survivors))
  }

  @Test func aScoreThatIsNotFinite() throws {
    var trial = BoundedTrial(
      scores: [4, 3, .nan, 1], sizes: [2, 2], bounds: [Bounds(), Bounds()], keep: 2)
    for number in 0..<3 {
      trial.bounds = [Bounds(), Bounds()]
      if number == 1 { trial.bounds[1].leastPerOutput = 1 }
      if number == 2 { trial.bounds[1].least = 1 }
      let step = try trial.step(before: [1, 0, 1, 1], .all)
      guard case .nonFinite(let found) = step.error else {
        Issue.record("\(String(describing: step.error))")
        continue
      }
      #expect(found.operand == .scores && found.tensor == 1 && found.firstIndex == 0)
      #expect(step.isRestored)
    }
  }

  @Test func masksThatWereChanged() throws {
    let trial = BoundedTrial(
      scores: [4, 3, 2, 1], sizes: [2, 2], bounds: [Bounds(), Bounds()], keep: 2)
    let step = try trial.step(before: [1, 0, 1, 1], .all, expected: 2)
    #expect(step.error == .masksChanged(kept: 3, expected: 2))
    #expect(step.isRestored)
  }
}
