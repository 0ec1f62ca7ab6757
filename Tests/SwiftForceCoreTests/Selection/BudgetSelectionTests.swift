// Selections of weights with costs, against a loop that pays for weights in order.

import Testing

@testable import SwiftForceCore

/// The masks of a loop that takes weights by score / cost until one is too dear.
private func oracle(
  _ scores: [Float], _ sizes: [Int], _ costs: [Int], competes: [Bool], budget: Int
) -> [UInt8] {
  let costs = zip(sizes, costs).flatMap { [Int](repeating: $1, count: $0) }
  let order = scores.indices.filter { competes[$0] }.sorted {
    let (first, second) = (scores[$0] / Float(costs[$0]), scores[$1] / Float(costs[$1]))
    return first != second ? first > second : $0 < $1
  }
  var masks = [UInt8](repeating: 0, count: scores.count)
  var left = budget
  for position in order {
    left -= costs[position]
    guard left >= 0 else { break }
    masks[position] = 1
  }
  return masks
}

@Suite struct BudgetSelectionTests {
  private static let sizes = [7, 0, 13, 5]
  private static let costs = [3, 100, 1, 8]
  /// What all weights cost.
  private static let total = 7 * 3 + 13 + 5 * 8

  @Test(arguments: 0..<20) func paysInOrder(seed: UInt64) throws {
    // Few different numbers: many ties, within tensors and among them.
    let scores = tiedNumbers(25, seed: seed)
    let memory = Memory(scores)
    for budget in 8...Self.total {
      let masks = Memory(masksOf: 25)
      let report = try withExtendedLifetime((memory, masks)) {
        try Selection.select(
          memory.tensors(Self.sizes), keep: budget, into: masks.masks(Self.sizes),
          limits: Limits(costs: Self.costs))
      }
      let expected = oracle(
        scores, Self.sizes, Self.costs, competes: scores.map { _ in true }, budget: budget)
      #expect(masks.values == expected, "budget \(budget)")
      #expect(report.keep == expected.count { $0 == 1 })
    }
  }

  @Test(arguments: [Method.force, .iterativeSnip, .forceNested])
  func searchesPayInEachStep(method: Method) throws {
    let search = try Search(
      method, sizes: Self.sizes, keep: 9, steps: 4, limits: Limits(costs: Self.costs))
    #expect(search.keeps.first ?? 0 < Self.total && search.keeps.last == 9)
    let run = SearchRun(search, weights: shortNumbers(25, seed: 40))
    var before = [UInt8](repeating: 1, count: 25)
    for (t, budget) in search.keeps.enumerated() {
      let gradients = shortNumbers(25, seed: UInt64(t))
      let scores = zip(run.weights.values, gradients).map { abs($0 * $1) }
      let isNested = search.damping.competition(search.rule, step: t + 1) == .survivors
      let competes = before.map { !isNested || $0 == 1 }
      let report = try run.step(gradients: gradients)
      let masks = run.masks.values
      #expect(
        masks == oracle(scores, Self.sizes, Self.costs, competes: competes, budget: budget))
      #expect(report.keep == masks.count { $0 == 1 })
      before = masks
    }
  }

  @Test func largeTensorsOnSeveralThreads() throws {
    let sizes = [400_000, 300_000, 77]
    let costs = [49, 1, 1000]
    let count = sizes.reduce(0, +)
    let scores = (0..<count).map { Float(Generator.number(at: $0, seed: 3) >> 50) }
    let memory = Memory(scores)
    for budget in [1_000, 200_000, 3_000_000, 19_977_000] {
      var masks = [UInt8]()
      for threads in [1, 3] {
        for level in CPULevel.available {
          let written = Memory(masksOf: count)
          let report = try withExtendedLifetime((memory, written)) {
            let selection = MaskSelection(
              scores: Scores(given: memory.tensors(sizes)), keep: budget,
              masks: written.masks(sizes), previous: nil, applying: nil)
            return try BudgetSelection(selection, costs: costs)
              .dispatch(wide: false, level: level, threads: threads)
          }
          #expect(report.passes <= 6)
          if masks.isEmpty {
            masks = written.values
            let expected = oracle(
              scores, sizes, costs, competes: scores.map { _ in true }, budget: budget)
            #expect(masks == expected)
          }
          #expect(written.values == masks)
        }
      }
    }
  }

  @Test func refusesWhatCannotBePaid() {
    func error(_ limits: Limits, keep: Int) -> SFError? {
      do throws(SFError) {
        _ = try Search(.force, sizes: Self.sizes, keep: keep, steps: 2, limits: limits)
        return nil
      } catch { return error }
    }
    #expect(
      error(Limits(costs: Self.costs), keep: 7)
        == .badBounds(
          tensor: 3, reason: "one weight costs 8, and the budget is 7: it must pay for one"))
    #expect(
      error(Limits(costs: [1, 0, 1, 1]), keep: 7)
        == .badBounds(tensor: 1, reason: "a weight costs at least 1, not 0"))
    #expect(
      error(Limits(counts: [1, 0, 1, 1], costs: Self.costs), keep: 9)
        == .badBounds(
          tensor: nil, reason: "weights with a cost have no floors, caps, numbers or units"))
    guard case .badBounds(tensor: 2, _)? = error(Limits(costs: [1, 1, .max / 2, 1]), keep: 9) else {
      Issue.record("a cost that overflows is accepted")
      return
    }
    guard case .sizeMismatch? = error(Limits(costs: [1, 1]), keep: 9) else {
      Issue.record("too few costs are accepted")
      return
    }
    #expect(
      error(Limits(costs: Self.costs), keep: Self.total + 1)
        == .badKeep(keep: Self.total + 1, of: Self.total))
  }
}
