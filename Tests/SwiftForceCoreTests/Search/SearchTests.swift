// The search: every step of every method against the oracle, what distinguishes the methods, and
// what a step that fails leaves behind.

import SwiftForceCore
import Testing

/// Takes all steps and compares each with the oracle. `gradients` gives those of a step from the
/// masked weights before it.
private func check(
  _ search: Search, _ weights: [Float], seed: UInt64 = 0,
  gradients: (Int, [Float]) -> [Float]
) throws {
  let run = SearchRun(search, weights: weights)
  let saliency = search.method.saliency
  var mask: [UInt8]?
  for (t, keep) in search.keeps.enumerated() {
    #expect(!run.search.isDone)
    let gradient = gradients(t, run.masked.values)
    let oracle = Oracle(
      saliency.scores(weights: weights, gradients: gradient, seed: seed), keep: keep,
      sizes: search.sizes, previous: mask, nested: search.method.rule == .nested,
      gradients: saliency.readsGradients ? gradient : nil, step: t + 1)
    let report = try run.step(gradients: gradient)
    var comment: Comment { "\(search.method) keeps \(search.keeps) step \(t + 1)" }
    #expect(report == oracle.report, comment)
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
  func everyStepIsTheOracles(method: Method, schedule: Schedule) throws {
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

  /// Gradients of a real loss at the masked weights: a linear fit, where removing one weight
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

  /// The masked weight is zero, its score is not: FORCE scores with the dense weight.
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

  /// Removed weights with a zero score must not return in the place of live ones with a zero score.
  @Test func theDeadDoNotTieWithLiveZeros() throws {
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

  /// A search is a value: a copy goes its own way.
  @Test func aCopyTakesItsOwnSteps() throws {
    let run = try SearchRun(.force, [1, 2, 3], keeps: [2, 1])
    let copy = run.search
    try run.step(gradients: [1, 1, 1])
    #expect(copy.taken == 0)
    #expect(run.search.taken == 1)
  }
}

@Suite struct SearchCreationTests {
  @Test(arguments: Method.allCases)
  func stepsAreChecked(method: Method) {
    for steps in [0, -1, .min] {
      #expect(throws: SFError.badSteps(steps, oneShot: method.isOneShot)) {
        try Search(method, sizes: [10], keep: 1, steps: steps)
      }
    }
    #expect(throws: SFError.badSteps(0, oneShot: method.isOneShot)) {
      try Search(method, sizes: [10], keep: 1, keeps: [])
    }
    let two = failure { _ = try Search(method, sizes: [10], keep: 1, steps: 2) }
    let listed = failure { _ = try Search(method, sizes: [10], keep: 1, keeps: [2, 1]) }
    #expect(two == (method.isOneShot ? .badSteps(2, oneShot: true) : nil))
    #expect(listed == two)
  }

  @Test func sizesAreChecked() {
    #expect(throws: SFError.badCount(0)) { try Search(.snip, sizes: [], keep: 1, steps: 1) }
    #expect(throws: SFError.badCount(0)) { try Search(.snip, sizes: [0, 0], keep: 1, steps: 1) }
    #expect(throws: SFError.badCount(-1)) { try Search(.snip, sizes: [5, -1], keep: 1, steps: 1) }
    #expect(throws: SFError.badCount(.min)) {
      try Search(.snip, sizes: [.min], keep: 1, keeps: [1])
    }
    #expect(throws: SFError.badCount(1)) {
      try Search(.snip, sizes: [.max, 1], keep: 1, steps: 1)
    }
    #expect(throws: SFError.badCount(.max)) {
      try Search(.snip, sizes: [.max], keep: 1, steps: 1)
    }
    #expect(throws: Never.self) { try Search(.snip, sizes: [1 << 62], keep: 1, steps: 1) }
  }

  @Test func keepAndListsAreChecked() {
    for keep in [0, -1, 11, .max] {
      #expect(throws: SFError.badKeep(keep: keep, of: 10)) {
        try Search(.force, sizes: [4, 6], keep: keep, steps: 3)
      }
      #expect(throws: SFError.badKeep(keep: keep, of: 10)) {
        try Search(.force, sizes: [4, 6], keep: keep, keeps: [keep])
      }
    }
    #expect(throws: SFError.badSchedule(step: 2, keep: 6, previous: 5)) {
      try Search(.force, sizes: [4, 6], keep: 1, keeps: [5, 6, 1])
    }
  }
}

@Suite struct SearchFailureTests {
  private static let gradients: [Float] = [4, 3, 2, 1, 5]

  /// A search of three steps over five weights in three tensors, of which one step was taken.
  private func started(_ method: Method) throws -> SearchRun {
    let search = try Search(method, sizes: [2, 0, 3], keep: 1, keeps: [4, 2, 1])
    let run = SearchRun(search, weights: [1, -1, 1, -1, 1])
    try run.step(gradients: Self.gradients)
    return run
  }

  /// A step that must fail, and after it the step that must not: the failure left no trace.
  private func check(
    _ method: Method, _ expected: SFError?, _ attempt: (SearchRun) throws -> Void
  ) throws {
    let run = try started(method)
    let before = run.state
    let error = failure { try attempt(run) }
    #expect(error != nil)
    if let expected { #expect(error == expected) }
    #expect(run.state == before)
    let untouched = try started(method)
    #expect(try run.step(gradients: Self.gradients) == untouched.step(gradients: Self.gradients))
    #expect(run.state == untouched.state)
  }

  static let progressive = Method.allCases.filter { !$0.isOneShot }

  @Test(arguments: progressive, [Float.nan, .infinity, -.infinity])
  func aGradientThatIsNotFinite(method: Method, value: Float) throws {
    // At a weight that was kept, and at the one that was removed.
    for position in [4, 3] {
      try check(method, nil) { run in
        #expect(run.masks.values == [1, 1, 1, 0, 1])
        var gradients = Self.gradients
        gradients[position] = value
        do { try run.step(gradients: gradients) } catch let error as SFError {
          guard case .nonFinite(let found) = error else { throw error }
          #expect(found.operand == .gradients)
          #expect(found.tensor == 2)
          #expect(found.firstIndex == position - 2)
          #expect(found.count == 1)
          throw error
        }
      }
    }
  }

  @Test(arguments: progressive)
  func aScoreThatOverflows(method: Method) throws {
    let search = try Search(method, sizes: [3], keep: 1, keeps: [2, 1])
    let run = SearchRun(search, weights: [1, 0x1p100, 1])
    let before = run.state
    let found = NonFinite(operand: .scores, tensor: 0, firstIndex: 1, count: 1, value: .infinity)
    #expect(throws: SFError.nonFinite(found)) { try run.step(gradients: [1, 0x1p100, 1]) }
    #expect(run.state == before)
  }

  /// It does not compete, so its product is no score; a gradient that is not finite is another
  /// matter, wherever it is.
  @Test func aRemovedWeightWhoseProductOverflows() throws {
    let run = try SearchRun(.iterativeSnip, [1, 0x1p100, 2], keeps: [2, 1])
    try run.step(gradients: [1, 0, 1])
    #expect(run.masks.values == [1, 0, 1])
    let found = NonFinite(
      operand: .gradients, tensor: 0, firstIndex: 1, count: 1, value: .infinity)
    #expect(throws: SFError.nonFinite(found)) { try run.step(gradients: [1, .infinity, 1]) }
    let report = try run.step(gradients: [1, 0x1p100, 1])
    #expect(run.masks.values == [0, 0, 1])
    #expect(report.candidates == 2)
    #expect(report.totalSaliency == 3)
  }

  @Test(arguments: progressive)
  func missingGradients(method: Method) throws {
    try check(method, .missingGradients) { try $0.step(gradients: nil) }
  }

  @Test(arguments: progressive)
  func masksThatKeepMoreOrFewer(method: Method) throws {
    for (position, value, kept) in [(0, 0 as UInt8, 3), (3, 1, 5)] {
      try check(method, .masksChanged(kept: kept, expected: 4)) { run in
        let present = run.masks.values
        defer { run.masks.values = present }
        run.masks.values[position] = value
        let tampered = run.masks.values
        defer { #expect(run.masks.values == tampered) }
        try run.step(gradients: Self.gradients)
      }
    }
  }

  @Test(arguments: progressive)
  func listsOfOtherSizes(method: Method) throws {
    let good = [2, 0, 3]
    func expect(
      _ error: SFError, weights: [Int] = [2, 0, 3], gradients: [Int] = [2, 0, 3],
      masks: [Int] = [2, 0, 3], masked: [Int] = [2, 0, 3]
    ) throws {
      try check(method, error) {
        try $0.step(
          weightSizes: weights, gradientSizes: gradients, maskSizes: masks, maskedSizes: masked)
      }
    }
    let other = [2, 1, 2]
    try expect(.sizeMismatch(.weights, tensor: 1, got: 1, expected: 0), weights: other)
    try expect(.sizeMismatch(.gradients, tensor: 1, got: 1, expected: 0), gradients: other)
    try expect(.sizeMismatch(.masks, tensor: 1, got: 1, expected: 0), masks: other)
    try expect(.sizeMismatch(.maskedWeights, tensor: 1, got: 1, expected: 0), masked: other)
    let joined = [good.reduce(0, +)]
    try expect(.sizeMismatch(.weights, tensor: nil, got: 1, expected: 3), weights: joined)
    try expect(.sizeMismatch(.gradients, tensor: nil, got: 1, expected: 3), gradients: joined)
    try expect(.sizeMismatch(.masks, tensor: nil, got: 1, expected: 3), masks: joined)
    try expect(.sizeMismatch(.maskedWeights, tensor: nil, got: 1, expected: 3), masked: joined)
  }

  /// Every method refuses weights that are not finite at its first step, also one that does not
  /// read them: they would go out as masked weights.
  @Test(arguments: Method.allCases, [Float.nan, .infinity])
  func aWeightThatIsNotFinite(method: Method, value: Float) throws {
    let search = try Search(method, sizes: [2, 2], keep: 4, steps: 1)
    let run = SearchRun(search, weights: [1, 2, 3, value])
    let before = run.state
    // A gradient of zero does not hide it.
    let error = failure { try run.step(gradients: [1, 1, 1, 0]) }
    guard case .nonFinite(let found) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(found.operand == .weights)
    #expect(found.tensor == 1)
    #expect(found.firstIndex == 1)
    #expect(run.state == before)
  }
}

@Suite struct SearchGoingOnTests {
  private static let keeps = [40, 20, 5]

  private static func gradients(_ step: Int) -> [Float] {
    shortNumbers(60, seed: UInt64(step) + 3)
  }

  /// From the masks that another search left, after each of its steps.
  @Test(arguments: SearchFailureTests.progressive, 0...3)
  func endsAsTheOther(method: Method, taken: Int) throws {
    let weights = shortNumbers(60, seed: 1)
    let whole = try SearchRun(method, weights, keeps: Self.keeps)
    var search = try Search(method, sizes: [60], keep: 5, keeps: Self.keeps, taken: taken)
    #expect(search.taken == taken)
    #expect(search.isDone == (taken == 3))
    var previous: Memory<UInt8>?
    for t in 0..<3 {
      let before = whole.masks
      let report = try whole.step(gradients: Self.gradients(t))
      if t < taken {
        previous = whole.masks
        #expect(search.report(ofStep: t + 1) == nil)
        continue
      }
      let (given, next) = (Memory(weights), Memory<UInt8>(masksOf: 60))
      let gradients = Memory(Self.gradients(t))
      #expect(previous == nil || previous?.values == before.values)
      var found = try withExtendedLifetime((given, next, gradients, previous)) {
        try search.step(
          weights: given.tensors([60]), gradients: gradients.tensors([60]),
          previous: previous?.masks([60]), masks: next.masks([60]))
      }
      #expect(search.report(ofStep: t + 1) == found)
      found.readings = 0
      #expect(found == report)
      #expect(next.values == whole.masks.values)
      previous = next
    }
    #expect(search.isDone)
  }

  @Test func needsTheMasksOfTheStepBefore() throws {
    var search = try Search(.force, sizes: [3], keep: 1, keeps: [2, 1], taken: 1)
    let numbers = Memory<Float>([1, 2, 3])
    let masks = Memory<UInt8>(masksOf: 3)
    #expect(throws: SFError.masksChanged(kept: 0, expected: 2)) {
      try search.step(
        weights: numbers.tensors([3]), gradients: numbers.tensors([3]), previous: nil,
        masks: masks.masks([3]))
    }
    #expect(search.taken == 1 && search.reports.isEmpty)
  }

  @Test func stepsTakenAreChecked() {
    for taken in [-1, 3, .max, .min] {
      #expect(throws: SFError.badTaken(taken, steps: 2)) {
        try Search(.force, sizes: [3], keep: 1, keeps: [2, 1], taken: taken)
      }
    }
  }

  @Test func totalsAreChecked() {
    #expect(throws: SFError.sizeMismatch(.weights, tensor: nil, got: 3, expected: 2)) {
      try Search(.force, sizes: [3], keep: 1, steps: 1, total: 2)
    }
    #expect(throws: SFError.badCount(0)) {
      try Search(.force, sizes: [], keep: 1, steps: 1, total: 0)
    }
    #expect(throws: SFError.badKeep(keep: 8, of: 7)) {
      try Search(.force, sizes: [3], keep: 8, steps: 1, total: 7)
    }
    #expect(throws: Never.self) { try Search(.force, sizes: [3], keep: 7, steps: 1, total: 7) }
  }
}
