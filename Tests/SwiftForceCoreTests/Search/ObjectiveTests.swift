// The objective of a search: sums by definition, in one process and over ranks.

import Testing

@testable import SwiftForceCore

@Suite struct ObjectiveTests {
  private let weights = shortNumbers(5000, seed: 1)
  private let gradients = shortNumbers(5000, seed: 2)
  private let masks = (0..<5000).map { UInt8($0 % 3 == 0 ? 1 : 0) }

  private func sum(_ saliency: Saliency) -> Double {
    let scores = saliency.scores(weights: weights, gradients: gradients, seed: 0)
    return zip(scores, masks).reduce(0) { $0 + ($1.1 == 1 ? Double($1.0) : 0) }
  }

  @Test(arguments: [Method.force, .iterativeSnip, .graspIt])
  func isTheSumOfTheKeptScores(method: Method) throws {
    let (w, g, m) = (Memory(weights), Memory(gradients), Memory(masks, guardedBy: 99))
    let damping = Damping(momentum: 0.5)
    let search = try Search(method, sizes: [2000, 3000], keep: 1, steps: 2, damping: damping)
    let found = try withExtendedLifetime((w, g, m)) {
      try search.objective(
        weights: w.tensors(search.sizes), gradients: g.tensors(search.sizes),
        masks: m.masks(search.sizes))
    }
    #expect(found == sum(method.saliency))
    #expect(search.taken == 0)
  }

  @Test func ranksFindTheSumOfAll() throws {
    let (w, g, m) = (Memory(weights), Memory(gradients), Memory(masks, guardedBy: 99))
    let sizes = [2000, 0, 3000]
    let group = RankGroup(3)
    let results = withExtendedLifetime((w, g, m)) {
      group.run { rank in
        Result { () throws(SFError) in
          let search = try Search(.force, sizes: [sizes[rank]], keep: 1, steps: 2, total: 5000)
          return try search.objective(
            weights: [w.tensors(sizes)[rank]], gradients: [g.tensors(sizes)[rank]],
            masks: [m.masks(sizes)[rank]],
            ranks: group.ranks(starts: [sizes[..<rank].reduce(0, +)]))
        }
      }
    }
    for result in results { #expect(try result.get() == sum(.connectionSensitivity)) }
  }

  @Test func aRankThatFailsStopsAll() throws {
    let (w, m) = (Memory(weights), Memory(masks, guardedBy: 99))
    var spoiled = gradients
    spoiled[4999] = .nan
    let g = Memory(spoiled)
    let sizes = [2000, 3000]
    let group = RankGroup(2)
    let results = withExtendedLifetime((w, g, m)) {
      group.run { rank in
        Result { () throws(SFError) in
          let search = try Search(.force, sizes: [sizes[rank]], keep: 1, steps: 2, total: 5000)
          return try search.objective(
            weights: [w.tensors(sizes)[rank]], gradients: [g.tensors(sizes)[rank]],
            masks: [m.masks(sizes)[rank]], ranks: group.ranks(starts: [rank * 2000]))
        }
      }
    }
    #expect(throws: SFError.rankFailed) { try results[0].get() }
    let found = NonFinite(
      operand: .gradients, tensor: 0, firstIndex: 2999, count: 1, value: .nan)
    guard case .failure(.nonFinite(let named)) = results[1] else {
      Issue.record("no error")
      return
    }
    #expect(named.operand == found.operand && named.firstIndex == found.firstIndex)
  }

  @Test(arguments: [Method.magnitude, .random])
  func methodsWithoutGradientsHaveNone(method: Method) throws {
    let (w, m) = (Memory(weights), Memory(masks, guardedBy: 99))
    let search = try Search(method, sizes: [5000], keep: 1, steps: 1)
    _ = withExtendedLifetime((w, m)) {
      #expect(throws: SFError.noObjective(method.saliency)) {
        try search.objective(
          weights: w.tensors([5000]), gradients: w.tensors([5000]), masks: m.masks([5000]))
      }
    }
  }

  /// With binary64 weights and binary32 gradients the scores of GraSP-It are binary32.
  @Test(arguments: [0, 0.5])
  func theTypeOfScoresDoesNotDependOnMomentum(momentum: Double) throws {
    let (weights, gradients) = (Stored(.float64, [1, 1]), Stored(.float32, [1, 1e20]))
    let (stored, masks) = (Stored(.float64, [0, 0]), Memory<UInt8>([1, 1], guardedBy: 99))
    var search = try Search(
      .graspIt, sizes: [2], keep: 1, steps: 2, damping: Damping(momentum: momentum))
    withExtendedLifetime((weights, gradients, stored, masks)) {
      #expect(throws: SFError.self) {
        try search.objective(
          weights: weights.tensors([2]), gradients: gradients.tensors([2]),
          masks: masks.masks([2]))
      }
      #expect(throws: SFError.self) {
        try search.step(
          weights: weights.tensors([2]), gradients: gradients.tensors([2]), previous: nil,
          masks: masks.masks([2]), accumulated: stored.mutableTensors([2]))
      }
    }
  }

  @Test func argumentsThatDoNotFit() throws {
    let (w, m) = (Memory(weights), Memory(masks, guardedBy: 99))
    let search = try Search(.force, sizes: [5000], keep: 1, steps: 2)
    withExtendedLifetime((w, m)) {
      #expect(throws: SFError.missingGradients) {
        try search.objective(
          weights: w.tensors([5000]), gradients: nil, masks: m.masks([5000]))
      }
      #expect(throws: SFError.sizeMismatch(.masks, tensor: nil, got: 2, expected: 1)) {
        try search.objective(
          weights: w.tensors([5000]), gradients: w.tensors([5000]), masks: m.masks([4000, 1000]))
      }
    }
  }
}
