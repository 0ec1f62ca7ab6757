// The search: every step of every method against the oracle, and what distinguishes the methods.

import Testing

@testable import SwiftForceCore

/// Takes all steps and compares each with the oracle.
///
/// - Parameter gradients: returns the gradients of a step at the masked weights before it.
private func check(
  _ search: Search, _ weights: [Float], seed: UInt64 = 0,
  gradients: (Int, [Float]) -> [Float]
) throws {
  let run = SearchRun(search, weights: weights)
  let saliency = search.saliency
  var mask: [UInt8]?
  for (t, keep) in search.keeps.enumerated() {
    #expect(!run.search.isDone)
    let gradient = gradients(t, run.masked.values)
    let oracle = Oracle(
      saliency.scores(weights: weights, gradients: gradient, seed: seed), keep: keep,
      sizes: search.sizes, previous: mask,
      nested: search.damping.competition(search.rule, step: t + 1) == .survivors,
      gradients: saliency.readsGradients ? gradient : nil, step: t + 1)
    let report = try run.step(gradients: gradient)
    var comment: Comment { "\(search.method) keeps \(search.keeps) step \(t + 1)" }
    #expect(
      report == oracle.report || saliency == .random && agree(report, oracle.report), comment)
    #expect(run.masks.values == oracle.mask, comment)
    let masked = zip(weights, oracle.mask).map { $1 == 1 ? $0.bitPattern : 0 }
    #expect(run.masked.bits == masked, comment)
    #expect(run.state.isIntact && run.weights.bits == weights.map(\.bitPattern), comment)
    mask = oracle.mask
  }
  #expect(run.search.isDone)
  let done = run.state
  #expect(throws: SFError.searchDone(steps: search.keeps.count)) {
    try run.step(gradients: weights)
  }
  #expect(run.state == done)
}

@Suite struct SearchTests {
  /// Every method with every schedule, on numbers with and without many ties.
  @Test(arguments: Method.allCases, Schedule.allCases)
  func everyStepMatchesTheOracle(method: Method, schedule: Schedule) throws {
    let steps = method.isOneShot ? 1 : 5
    var cases = [(1, 1), (12, 3), (97, 97), (97, 10)]
    if schedule == .exponential { cases.append((4097, 41)) }
    for (count, keep) in cases {
      let sizes = splits(of: count)[4]
      let search = try Search(
        method, sizes: sizes, keep: keep, steps: steps, schedule: schedule, seed: 9)
      #expect(search.keeps == (try schedule.keeps(of: count, keep: keep, steps: steps)))
      #expect(search.sizes == sizes)
      try check(search, shortNumbers(count, seed: 1), seed: 9) { t, _ in
        shortNumbers(count, seed: UInt64(t) + 2)
      }
      try check(search, tiedNumbers(count, seed: 1), seed: 9) { t, _ in
        tiedNumbers(count, seed: UInt64(t) + 2)
      }
    }
  }

  /// Two steps over three weights: every pair of gradients among 0, 1 and 2.
  @Test(arguments: Method.allCases.filter { !$0.isOneShot })
  func twoTinyStepsExhaustively(method: Method) throws {
    let search = try Search(method, sizes: [1, 2], keep: 1, keeps: [2, 1])
    for number in 0..<729 {
      var digits = number
      let gradients = (0..<6).map { _ in
        defer { digits /= 3 }
        return Float(digits % 3)
      }
      try check(search, [1, -1, 1]) { t, _ in Array(gradients[3 * t..<3 * t + 3]) }
    }
  }

  /// Gradients of a real loss at the masked weights: a linear fit, in which removing one weight
  /// changes the gradients of the others.
  @Test(arguments: Method.allCases.filter { !$0.isOneShot })
  func gradientsAtTheMaskedWeights(method: Method) throws {
    let weights = tiedNumbers(40, seed: 8)
    let search = try Search(method, sizes: [40], keep: 5, steps: 6)
    try check(search, weights) { t, masked in
      let now = t == 0 ? weights : masked
      let residual = now.reduce(0, +) - 3
      return now.map { $0 + residual }
    }
  }

  @Test(arguments: [Method.force, .iterativeSnip])
  func oneStepIsSnip(method: Method) throws {
    for count in [1, 5, 100, 5000] {
      let weights = shortNumbers(count, seed: 1)
      let gradients = shortNumbers(count, seed: 2)
      let keep = (count + 2) / 3
      let snip = SearchRun(
        try Search(.snip, sizes: [count], keep: keep, steps: 1), weights: weights)
      let other = SearchRun(
        try Search(method, sizes: [count], keep: keep, steps: 1), weights: weights)
      #expect(try snip.step(gradients: gradients) == other.step(gradients: gradients))
      #expect(snip.state == other.state)
    }
  }

  /// A weight removed by the first step gets the largest gradient in the second.
  @Test func forceRevivesAndNestedDoesNot() throws {
    let weights: [Float] = [1, 1, 1, 1]
    for (method, mask, revived) in [
      (Method.force, [1, 0, 0, 1] as [UInt8], 1), (.iterativeSnip, [1, 1, 0, 0], 0),
      (.graspIt, [1, 1, 0, 0], 0),
    ] {
      let run = try SearchRun(method, weights, keeps: [3, 2])
      try run.step(gradients: [3, 2, 2, 1])
      #expect(run.masks.values == [1, 1, 1, 0])
      let report = try run.step(gradients: [3, 2, 1, 9])
      #expect(run.masks.values == mask)
      #expect(report.revived == revived)
      #expect(report.removed == 1 + revived)
    }
  }

  /// FORCE scores with the dense weight: the masked weight is zero, but its score is not.
  @Test func aRemovedWeightIsScoredWithItsDenseValue() throws {
    let run = try SearchRun(.force, [8, 1, 1], keeps: [2, 1])
    try run.step(gradients: [0, 1, 1])
    #expect(run.masks.values == [0, 1, 1])
    #expect(run.masked.bits[0] == 0)
    let report = try run.step(gradients: [1, 2, 2])
    #expect(run.masks.values == [1, 0, 0])
    #expect(report.threshold == 8)
    #expect(run.masked.values == [8, 0, 0])
  }

  /// Removed weights must not return in place of kept weights that also have a score of zero.
  @Test func removedZerosDoNotTieWithKeptZeros() throws {
    let run = try SearchRun(.iterativeSnip, [1, 1, 1, 1], keeps: [2, 2])
    try run.step(gradients: [0, 0, 1, 1])
    let report = try run.step(gradients: [0, 0, 0, 0])
    #expect(run.masks.values == [0, 0, 1, 1])
    #expect(report.candidates == 2)
    #expect(report.zeroScores == 2)
    #expect(report.arbitrary == 0)
  }

  @Test(arguments: Method.allCases.filter { $0.rule == .nested })
  func nestedMasksAreAChainOfSubsets(method: Method) throws {
    let count = 500
    let search = try Search(method, sizes: [count], keep: 5, steps: 12)
    let run = SearchRun(search, weights: shortNumbers(count, seed: 1))
    var previous = [UInt8](repeating: 1, count: count)
    for t in search.keeps.indices {
      let report = try run.step(gradients: shortNumbers(count, seed: UInt64(t) + 20))
      #expect(zip(run.masks.values, previous).allSatisfy { $0 <= $1 })
      #expect(report.revived == 0)
      previous = run.masks.values
    }
  }

  @Test func aRemovedNegativeWeightBecomesPositiveZero() throws {
    let run = try SearchRun(.magnitude, [-1, -2, -0.0, -3], keeps: [2])
    try run.step(gradients: nil)
    #expect(run.masked.bits == [0, Float(-2).bitPattern, 0, Float(-3).bitPattern])
  }

  /// A kept weight keeps all of its bits: -0 stays -0.
  @Test func aKeptNegativeZeroStays() throws {
    let run = try SearchRun(.magnitude, [-0.0, 1], keeps: [2])
    try run.step(gradients: nil)
    #expect(run.masked.bits == [Float(-0.0).bitPattern, Float(1).bitPattern])
  }

  @Test func maskedWeightsNeedNotBeWritten() throws {
    let run = try SearchRun(.force, [1, 2, 3], keeps: [2, 1])
    for _ in 0..<2 { try run.step(gradients: [1, 1, 1], writesMasked: false) }
    #expect(run.masks.values == [0, 0, 1])
    #expect(run.masked.values == [-5, -5, -5])
  }

  @Test func theRandomMethodDependsOnItsSeed() throws {
    func mask(_ seed: UInt64) throws -> [UInt8] {
      let run = try SearchRun(.random, Kind.random.values(100), keeps: [50], seed: seed)
      try run.step(gradients: nil)
      return run.masks.values
    }
    #expect(try mask(1) == mask(1))
    #expect(try mask(1) != mask(2))
  }

  /// A search is a value: a copy is independent.
  @Test func aCopyTakesItsOwnSteps() throws {
    let run = try SearchRun(.force, [1, 2, 3], keeps: [2, 1])
    let copy = run.search
    try run.step(gradients: [1, 1, 1])
    #expect(copy.taken == 0)
    #expect(run.search.taken == 1)
  }
}
