// Selections in many combinations of kind of data, number to keep, source and types of the scores,
// previous mask, tensor sizes, CPU level and threads, each compared with the oracle: every number
// of weights up to 300, and numbers around the limits of blocks, chunks, single pass and threads.

import Testing

@testable import SwiftForceCore

/// The smallest number of weights that are selected in one pass.
private let least = Bracket<BaselineFloatKernels>.minimumCount
private let chunk = Chunk.largestCount

/// Numbers of weights around which the number of chunks or threads or the kind of pass changes.
private let edges = Set([
  1023, 1024, 1025, chunk - 1, chunk, chunk + 1, least - 1, least, least + 1, 2 * chunk - 1,
  2 * chunk + 1, 3 * chunk, 4 * chunk + 17,
]).sorted()

/// The number of choices of each parameter of `Trial`.
private let axes = [
  Kind.allCases.count, Source.allCases.count, ElementType.allCases.count,
  ElementType.allCases.count, PreviousMask.allCases.count, Trial.keeps(of: 1).count,
  Trial.splitCount, 2,
  CPULevel.available.count, 4,
]

/// The trial with one choice for each parameter.
private func trial(_ row: [Int], count: Int) -> Trial {
  let source = Source.allCases[row[1]]
  return Trial(
    count: count, kind: Kind.allCases[row[0]], source: source,
    weightType: ElementType.allCases[row[2]], gradientType: ElementType.allCases[row[3]],
    // With given scores there is no rule.
    before: source == .given ? .nothing : PreviousMask.allCases[row[4]], keep: row[5],
    split: row[6],
    writesMasked: row[7] == 1 && source != .given, level: CPULevel.available[row[8]],
    threads: row[9] + 1)
}

private func check(_ trial: Trial) throws {
  let inputs = trial.inputs
  let outcome = try trial.outcome(inputs)
  let expected = trial.expected(inputs, passes: outcome.report.passes)
  // Compared first, because building the messages is slow.
  guard outcome != expected else { return }
  #expect(outcome.masks == expected.masks, "the mask of \(trial)")
  #expect(outcome.masked == expected.masked, "the masked weights of \(trial)")
  let scale = trial.scores(inputs.weights, inputs.gradients).reduce(0) { $0 + abs($1) }
  #expect(agree(outcome.report, expected.report, scale: scale), "\(trial)")
  #expect(outcome.isIntact, "written where nothing should be: \(trial)")
}

@Suite struct SelectionMatrixTests {
  private static let smallRows = pairwise(axes, seed: 1)
  private static let edgeRows = pairwise(axes + [edges.count], seed: 2)

  /// Each number of weights with every choice of the number to keep; the other parameters rotate.
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

  /// The rows contain every pair of choices.
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
