// Selections with floors and caps, against a greedy choice and against all masks there are.

import Testing

@testable import SwiftForceCore

/// A selection among some scores within limits, for two tensors.
private struct BoundedTrial {
  var scores: [Float]
  var sizes: [Int]
  var bounds: [Bounds]
  var keep: Int

  /// The masks by the core.
  func masks(level: CPULevel? = nil, threads: Int? = nil) throws -> [UInt8] {
    let stored = Memory(scores)
    let masks = Memory<UInt8>(masksOf: scores.count)
    try Limits(bounds: bounds).check([keep], of: sizes)
    let report = try withExtendedLifetime((stored, masks)) {
      try selection(stored, masks).dispatch(wide: false, level: level, threads: threads)
    }
    #expect(masks.isIntact)
    let kept = scores.indices.filter { masks.values[$0] == 1 }
    #expect(report.keep == kept.count)
    let smallest = kept.map { scores[$0] }.min() ?? 0
    #expect(report.threshold == Double(smallest))
    #expect(report.atThreshold == scores.indices.count { scores[$0] == smallest })
    #expect(report.keptAtThreshold == kept.count { scores[$0] == smallest })
    #expect(abs(report.saliency - kept.reduce(0) { $0 + Double(scores[$1]) }) < 1e-9)
    return masks.values
  }

  private func selection(_ scores: Memory<Float>, _ masks: Memory<UInt8>) -> BoundedSelection {
    BoundedSelection(
      selection: MaskSelection(
        scores: Scores(given: scores.tensors(sizes)), keep: keep, masks: masks.masks(sizes),
        previous: nil, applying: nil),
      bounds: bounds, counts: nil)
  }

  /// The tensor, the output unit and the group of a weight.
  func places(_ weight: Int) -> (tensor: Int, unit: Int, group: Int) {
    let tensor = weight < sizes[0] ? 0 : 1
    let position = tensor == 0 ? weight : weight - sizes[0]
    let bound = bounds[tensor]
    let outputs = max(1, bound.outputs)
    let length = sizes[tensor] / outputs
    let inner = outputs > 1 ? bound.inner : length
    let unit = position / inner % outputs
    let inUnit = position / (inner * outputs) * inner + position % inner
    return (tensor, unit, bound.group > 0 ? inUnit / bound.group : 0)
  }

  /// Whether some masks that keep `keep` weights contain all of these and respect the bounds. By
  /// counting alone: what floors still demand must fit, and what caps still allow must suffice.
  func isPossible(_ kept: Set<Int>) -> Bool {
    var (demand, room) = (0, 0)
    for tensor in sizes.indices {
      let bound = bounds[tensor]
      let own = scores.indices.filter { places($0).tensor == tensor }
      var (least, most) = (0, 0)
      for unit in Set(own.map { places($0).unit }) {
        let members = own.filter { places($0).unit == unit }
        let taken = members.count { kept.contains($0) }
        var allowed = 0
        for group in Set(members.map { places($0).group }) {
          let all = members.filter { places($0).group == group }
          let cap = bound.group > 0 ? bound.mostPerGroup : Int.max
          if all.count(where: { kept.contains($0) }) > cap { return false }
          allowed += min(cap, all.count)
        }
        allowed = min(allowed, bound.mostPerOutput)
        if taken > allowed || bound.leastPerOutput > allowed { return false }
        least += max(taken, bound.leastPerOutput)
        most += allowed
      }
      least = max(least, bound.least)
      most = min(most, bound.most)
      if least > most { return false }
      demand += least
      room += most
    }
    return demand <= keep && keep <= room
  }

  /// The masks of a greedy choice: weights in order, as long as the bounds can still be met.
  func greedy() -> [UInt8]? {
    guard isPossible([]) else { return nil }
    var units: [[Int]: Int] = [:]
    var groups: [[Int]: Int] = [:]
    // What each tensor must keep: what was taken, and what floors of other units demand.
    var demands = bounds.map { max(1, $0.outputs) * $0.leastPerOutput }
    func demand(_ demands: [Int]) -> Int {
      zip(demands, bounds).reduce(0) { $0 + max($1.0, $1.1.least) }
    }
    var masks = scores.map { _ in UInt8(0) }
    var kept = 0
    let order = scores.indices.sorted {
      scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1
    }
    for weight in order where kept < keep {
      let (tensor, unit, group) = places(weight)
      let bound = bounds[tensor]
      let taken = units[[tensor, unit]] ?? 0
      let inGroup = groups[[tensor, unit, group]] ?? 0
      var next = demands
      next[tensor] += taken >= bound.leastPerOutput ? 1 : 0
      guard taken < bound.mostPerOutput, bound.group == 0 || inGroup < bound.mostPerGroup,
        next[tensor] <= bound.most, demand(next) <= keep
      else { continue }
      demands = next
      units[[tensor, unit]] = taken + 1
      groups[[tensor, unit, group]] = inGroup + 1
      masks[weight] = 1
      kept += 1
    }
    return masks
  }

  /// The largest total score of all masks that respect the bounds.
  func best() -> Float? {
    var best: Float?
    for bits in 0..<(1 << scores.count) where bits.nonzeroBitCount == keep {
      let kept = Set(scores.indices.filter { bits >> $0 & 1 == 1 })
      guard isPossible(kept) else { continue }
      let total = kept.reduce(Float(0)) { $0 + scores[$1] }
      best = max(best ?? total, total)
    }
    return best
  }

  static func random(_ generator: inout TestGenerator, length: Int) -> BoundedTrial {
    func pick(_ numbers: [Int]) -> Int { numbers.randomElement(using: &generator) ?? 0 }
    var (sizes, bounds): ([Int], [Bounds]) = ([], [])
    for _ in 0..<2 {
      var bound = Bounds()
      let (outputs, outer, inner) = (pick([1, 2, 3]), pick([1, 1, 2]), pick([1, 2, length]))
      let size = outputs * outer * inner
      bound.outputs = pick([0, outputs, outputs])
      bound.inner = bound.outputs > 0 ? inner : 1
      if pick([0, 1]) == 1 { bound.least = pick([1, size / 4, size / 2]) }
      if pick([0, 1]) == 1 { bound.most = pick([size, size - size / 4, size / 2]) }
      if pick([0, 1]) == 1 { bound.leastPerOutput = pick([1, 2, outer * inner / 2]) }
      if pick([0, 0, 1]) == 1 { bound.mostPerOutput = pick([1, outer * inner - 1, 2]) }
      if pick([0, 0, 1]) == 1 {
        (bound.group, bound.mostPerGroup) = (pick([2, 4]), pick([1, 2]))
      }
      sizes.append(size)
      bounds.append(bound)
    }
    let count = sizes.reduce(0, +)
    let range = pick([2, 5, 1000])
    let scores = (0..<count).map { _ in Float(Int.random(in: 0..<range, using: &generator)) }
    return BoundedTrial(
      scores: scores, sizes: sizes, bounds: bounds, keep: pick(Array(1...count)))
  }
}

@Suite struct BoundedSelectionTests {
  @Test func masksAreThoseOfAGreedyChoice() throws {
    var generator = TestGenerator(state: 1)
    var possible = 0
    for round in 0..<3000 {
      let trial = BoundedTrial.random(&generator, length: [3, 5, 9][round % 3])
      let expected = trial.greedy()
      guard let expected else {
        #expect(throws: SFError.self) { try trial.masks() }
        continue
      }
      possible += 1
      let masks = try trial.masks(level: CPULevel.allCases[round % 3], threads: 1 + round % 2)
      #expect(masks == expected, "\(trial)")
    }
    #expect(possible > 800)
  }

  @Test(arguments: CPULevel.allCases, [2, 1000, 1 << 24])
  func largeTensors(level: CPULevel, range: Int) throws {
    var generator = TestGenerator(state: 3)
    var floors = Bounds()
    (floors.outputs, floors.inner, floors.leastPerOutput, floors.least) = (300, 500, 2, 9000)
    var caps = Bounds()
    (caps.outputs, caps.inner, caps.group, caps.mostPerGroup) = (48, 25, 4, 2)
    (caps.most, caps.leastPerOutput, caps.mostPerOutput) = (20_000, 1, 900)
    let sizes = [300 * 500, 48 * 25 * 80]
    let scores = (0..<sizes[0] + sizes[1]).map { i in
      Float(Int.random(in: 0..<range, using: &generator)) * (i < sizes[0] ? 0.25 : 1)
    }
    for keep in [9_048, 29_000, 100_000] {
      let trial = BoundedTrial(scores: scores, sizes: sizes, bounds: [floors, caps], keep: keep)
      let masks = try trial.masks(level: level, threads: 2)
      #expect(masks == trial.greedy())
    }
  }

  @Test func noMasksHaveALargerScore() throws {
    var generator = TestGenerator(state: 2)
    var compared = 0
    for _ in 0..<3000 {
      let trial = BoundedTrial.random(&generator, length: 2)
      guard trial.scores.count <= 12, let best = trial.best() else { continue }
      let masks = try trial.masks()
      let total = trial.scores.indices.reduce(Float(0)) {
        $0 + (masks[$1] == 1 ? trial.scores[$1] : 0)
      }
      #expect(total == best, "\(trial)")
      compared += 1
    }
    #expect(compared > 300)
  }
}
