// Searches that are large enough for the bracket, step by step against the oracle.

import Testing

@testable import SwiftForceCore

private let least = Bracket<BaselineFloatKernels>.minimumCount

@Suite struct LargeSearchTests {
  /// Steps that one pass completes, and steps over tied scores for which it does not suffice.
  @Test(arguments: [Method.force, .iterativeSnip, .graspIt])
  func everyStepMatchesTheOracle(method: Method) throws {
    let count = least + 99
    // In the last steps, far fewer weights compete than a sample has scores.
    let keeps = [count / 2, count / 8, count / 40, 90, 89, 1]
    for numbers in [shortNumbers, tiedNumbers] {
      let weights = numbers(count, 1)
      let search = try Search(
        method, sizes: [999, count - 999], keep: 1, keeps: keeps)
      let run = SearchRun(search, weights: weights)
      var mask: [UInt8]?
      for (t, keep) in keeps.enumerated() {
        let gradients = numbers(count, UInt64(t) + 2)
        let oracle = Oracle(
          method.saliency.scores(weights: weights, gradients: gradients, seed: 0), keep: keep,
          sizes: search.sizes, previous: mask, nested: method.rule == .nested,
          gradients: gradients, step: t + 1)
        #expect(try run.step(gradients: gradients) == oracle.report)
        #expect(run.masks.values == oracle.mask)
        #expect(run.masked.bits == zip(weights, oracle.mask).map { $1 == 1 ? $0.bitPattern : 0 })
        mask = oracle.mask
      }
    }
  }
}
