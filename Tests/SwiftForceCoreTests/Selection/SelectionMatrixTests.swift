// Selections in many combinations of kind, number to keep, source and types of the scores, mask
// before, cut, CPU level and threads, each compared with the oracle: every size up to 300, and
// sizes around the edges of blocks, of chunks, of the single reading and of threads.

import Testing

@testable import SwiftForceCore

/// Fewest weights that are selected from in one reading.
private let least = Bracket<BaselineFloatKernels>.minimumCount
private let chunk = Chunk.largestCount

/// Sizes at which something changes: another chunk, another thread, another way to select.
private let edges = Set([
  1023, 1024, 1025, chunk - 1, chunk, chunk + 1, least - 1, least, least + 1, 2 * chunk - 1,
  2 * chunk + 1, 3 * chunk, 4 * chunk + 17,
]).sorted()

/// Choices of each axis; the first are those of `Trial`, and the sizes come last.
private let axes = [
  Kind.allCases.count, Source.allCases.count, ElementType.allCases.count,
  ElementType.allCases.count, Before.allCases.count, Trial.keeps(of: 1).count, Trial.splitCount, 2,
  CPULevel.available.count, 4,
]

/// A trial from one choice of each axis.
private func trial(_ row: [Int], count: Int) -> Trial {
  let source = Source.allCases[row[1]]
  return Trial(
    count: count, kind: Kind.allCases[row[0]], source: source,
    weightType: ElementType.allCases[row[2]], gradientType: ElementType.allCases[row[3]],
    // Given scores know no rule.
    before: source == .given ? .nothing : Before.allCases[row[4]], keep: row[5], split: row[6],
    writesMasked: row[7] == 1 && source != .given, level: CPULevel.available[row[8]],
    threads: row[9] + 1)
}

private func check(_ trial: Trial) throws {
  let inputs = trial.inputs
  let outcome = try trial.outcome(inputs)
  let expected = trial.expected(inputs, passes: outcome.report.passes)
  // Compared first: it would be slow to describe what is equal.
  guard outcome != expected else { return }
  #expect(outcome.masks == expected.masks, "the mask of \(trial)")
  #expect(outcome.masked == expected.masked, "the masked weights of \(trial)")
  #expect(outcome.report == expected.report, "\(trial)")
  #expect(outcome.isIntact, "written where nothing should be: \(trial)")
}

@Suite struct SelectionMatrixTests {
  private static let smallRows = pairwise(axes, seed: 1)
  private static let edgeRows = pairwise(axes + [edges.count], seed: 2)

  /// Each size with every way to choose the number to keep; the other axes take turns.
  @Test(arguments: 0..<10)
  func everySmallSize(part: Int) throws {
    for count in stride(from: part == 0 ? 10 : part, through: 300, by: 10) {
      for keep in Trial.keeps(of: count).indices {
        var row = Self.smallRows[(count * 31 + keep) % Self.smallRows.count]
        row[5] = keep
        try check(trial(row, count: count))
      }
    }
  }

  @Test(arguments: edges)
  func sizesAroundTheEdges(count: Int) throws {
    for row in Self.edgeRows where edges[row[axes.count]] == count {
      try check(trial(row, count: count))
    }
  }

  /// The rows do hold every pair of choices.
  @Test func everyPairOfChoicesIsTried() {
    for (rows, axes) in [(Self.smallRows, axes), (Self.edgeRows, axes + [edges.count])] {
      var pairs: Set<Pair> = []
      for row in rows { pairs.formUnion(Pair.all(of: row)) }
      let squares = axes.reduce(0) { $0 + $1 * $1 }
      let sum = axes.reduce(0, +)
      #expect(pairs.count == (sum * sum - squares) / 2)
    }
  }
}
