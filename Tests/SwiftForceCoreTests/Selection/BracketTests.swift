// Data made to mislead a sample or to put many scores near the threshold. The mask still matches
// the oracle, at every CPU level and number of threads, and the report has the number of passes.

import Testing

@testable import SwiftForceCore

private enum AdversarialData: CaseIterable {
  case ascending, descending, rareHugeBlock, periodic, runs, negativeRuns, allEqualButOne
  case twoValues, sortedTies, mostlyZeros, signedZeros, unseen

  func values(_ count: Int) -> [Double] {
    var values = all(count)
    if self == .unseen {
      // Every sampled value is the smallest of all, and no other value is.
      for (keep, _) in cases(count) {
        let size = Bracket<BaselineFloatKernels>.sampleSize(
          count, Double(keep) / Double(count), 1 << 15)
        let draws = StratifiedSample(count: count, size: size)
        for i in 0..<size { values[draws.position(i)] = -1 }
      }
    }
    return values
  }

  private func all(_ count: Int) -> [Double] {
    (0..<count).map { i in
      // Distinct values in no order.
      let noise = Double(i * 104_729 % count) / 1024
      return switch self {
      case .ascending: Double(i)
      case .descending: Double(-i)
      case .rareHugeBlock: i / 50 == count / 100 ? 1e6 + noise : noise
      // One value per stratum is large.
      case .periodic: i % 16 == 5 ? 1e6 + noise : noise
      case .runs: Double(i * 7919 % 599)
      case .negativeRuns: -Double(i * 7919 % 599)
      case .allEqualButOne: i == count / 3 ? 2 : 1
      case .twoValues: i % 2 == 0 ? -1 : 2
      case .sortedTies: Double(i / (count / 3))
      case .mostlyZeros: i % 1000 == 0 ? 1 + noise : 0
      case .unseen: noise
      case .signedZeros: i % 1000 == 0 ? noise - 100 : i % 3 == 0 ? 0 : -0.0
      }
    }
  }

  /// Numbers to keep and the expected number of passes. The numbers lie at the limits of runs of
  /// equal scores, next to them, and in their middle. One pass suffices if the sample brackets the
  /// threshold; a second one selects at a tied key that was left out of the bracket.
  func cases(_ count: Int) -> [(keep: Int, passes: ClosedRange<Int>)] {
    switch self {
    case .ascending, .descending:
      [1, 7, count / 100, count / 2, count - 1].map { ($0, 1...1) }
    case .rareHugeBlock: [1, 49, 50, 51, count / 2].map { ($0, 1...1) }
    case .periodic:
      [-1, 0, 1].map { (count / 16 + $0, 1...1) } + [(count / 32, 1...1), (count - 1, 1...1)]
    case .runs, .negativeRuns:
      [-1, 0, 1].map { (count / 599 * 300 + $0, 1...1) } + [(1, 1...1), (count / 599 / 2, 1...1)]
    case .allEqualButOne: [(1, 1...1), (2, 2...2), (count / 2, 1...1), (count, 2...2)]
    case .twoValues:
      [
        (1, 1...2), (count / 4, 1...1), (count / 2, 1...2), (count / 2 + 1, 1...2),
        (count - 1, 1...2),
      ]
    case .sortedTies:
      [(count / 3 - 1, 1...2), (count / 3, 1...2), (count / 2, 1...1), (count, 1...2)]
    case .mostlyZeros:
      [
        (1, 1...1), (count / 5000, 1...1), (count / 1000, 1...2), (count / 2, 1...1),
        (count, 1...2),
      ]
    case .signedZeros: [(count / 10_000, 1...1), (count / 2, 1...1), (count - 5, 1...1)]
    case .unseen: [(count / 4 + 11, 5...5), (count - count / 64, 5...5)]
    }
  }
}

/// Selects among given scores with every number of threads; the CPU levels rotate.
///
/// - Returns: the number of passes.
private func check(
  _ values: [Double], ranking: [Int], keep: Int, turn: Int, _ name: Comment
) throws -> Int {
  let count = values.count
  let scores = Stored(.float32, values)
  let sizes = [count / 3, 0, count - count / 3]
  let oracle = Oracle(
    values, kept: Array(ranking.prefix(keep)), candidates: Array(0..<count),
    before: [UInt8](repeating: 1, count: count), sizes: sizes, gradients: nil, step: 1)
  var passes: Set<Int> = []
  for threads in 1...4 {
    let masks = Memory<UInt8>(masksOf: count)
    let level = CPULevel.available[(threads + turn) % CPULevel.available.count]
    var report = try withExtendedLifetime((scores, masks)) {
      try Selection.select(
        from: Scores(given: scores.tensors(sizes)), keep: keep, masks: masks.masks(sizes),
        previous: nil, applying: nil, level: level, threads: threads)
    }
    passes.insert(report.passes)
    // Sums are not exact for these data; other tests check them.
    (report.passes, report.saliency) = (0, oracle.report.saliency)
    report.totalSaliency = oracle.report.totalSaliency
    report.objectiveBefore = oracle.report.objectiveBefore
    #expect(report == oracle.report, "\(name) keep \(keep) \(level) with \(threads) threads")
    #expect(masks.values == oracle.mask, "\(name) keep \(keep) \(level) with \(threads) threads")
    #expect(masks.isIntact)
  }
  #expect(passes.count == 1, "\(name) keep \(keep) was read \(passes) times")
  return passes.max() ?? 0
}

@Suite struct BracketTests {
  /// Large enough for four threads.
  private static let count = 4 * Chunk.largestCount + 777

  @Test(arguments: AdversarialData.allCases)
  private func theMaskMatchesTheOracle(data: AdversarialData) throws {
    let values = data.values(Self.count).map { Double(Float($0)) }
    let ranking = Oracle.ranking(values, Array(values.indices))
    for (turn, (keep, expected)) in data.cases(Self.count).enumerated() {
      let passes = try check(
        values, ranking: ranking, keep: keep, turn: turn, "\(data)")
      #expect(expected.contains(passes), "\(data) keep \(keep): \(passes) passes")
    }
  }

  /// From few equal scores at the threshold to more than can be listed.
  @Test(arguments: [1000, 100, 25, 20, 15, 4])
  func manyEqualScores(share: Int) throws {
    let count = Self.count
    let ties = count / share
    let values = (0..<count).map { i in
      let rank = i * 104_729 % count
      return Double(max(0, rank - count / 2 - ties) + min(0, rank - count / 2))
    }
    let ranking = Oracle.ranking(values, Array(values.indices))
    for keep in [count / 2 - ties - 1, count / 2 - ties, count / 2 - ties / 2, count / 2] {
      let passes = try check(
        values, ranking: ranking, keep: keep, turn: share, "\(ties) equal scores")
      #expect(passes <= 2)
    }
  }
}
