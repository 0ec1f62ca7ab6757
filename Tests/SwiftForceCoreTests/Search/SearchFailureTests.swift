// Steps that fail: the error, and that the search and its arrays are as they were before.

import SwiftForceCore
import Testing

@Suite struct SearchFailureTests {
  private static let gradients: [Float] = [4, 3, 2, 1, 5]

  /// A search of three steps over five weights in three tensors, after its first step.
  private func started(_ method: Method) throws -> SearchRun {
    let search = try Search(method, sizes: [2, 0, 3], keep: 1, keeps: [4, 2, 1])
    let run = SearchRun(search, weights: [1, -1, 1, -1, 1])
    try run.step(gradients: Self.gradients)
    return run
  }

  /// Takes a step that must fail and then one that must succeed, as if the first had not been
  /// tried.
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

  /// A removed weight does not compete, so its product may overflow. Its gradient must be finite.
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

  /// In the first step every method refuses weights that are not finite, also a method that does
  /// not read them, because they would be written as masked weights.
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
