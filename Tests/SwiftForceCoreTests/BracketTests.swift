// Data made to mislead a sample, or to crowd the scores around the threshold: the mask is the
// oracle's all the same, at every CPU level and number of threads, and the report tells how often
// the data was read.

import Testing

@testable import SwiftForceCore

private enum Adversary: CaseIterable {
  case ascending, descending, rareHugeBlock, periodic, runs, negativeRuns, allEqualButOne
  case twoValues, sortedTies, mostlyZeros, signedZeros

  func values(_ count: Int) -> [Double] {
    (0..<count).map { i in
      // Distinct, and in no order.
      let noise = Double(i * 7919 % count) / 1024
      return switch self {
      case .ascending: Double(i)
      case .descending: Double(-i)
      case .rareHugeBlock: i / 50 == count / 100 ? 1e6 + noise : noise
      // One in as many as a score is drawn from stands out.
      case .periodic: i % 16 == 5 ? 1e6 + noise : noise
      case .runs: Double(i * 7919 % 599)
      case .negativeRuns: -Double(i * 7919 % 599)
      case .allEqualButOne: i == count / 3 ? 2 : 1
      case .twoValues: i % 2 == 0 ? -1 : 2
      case .sortedTies: Double(i / (count / 3))
      case .mostlyZeros: i % 1000 == 0 ? 1 + noise : 0
      case .signedZeros: i % 1000 == 0 ? noise - 100 : i % 3 == 0 ? 0 : -0.0
      }
    }
  }

  /// Numbers to keep, and whether one reading settles it: at the edges of blocks and runs of
  /// equal scores, next to them, and in their middle. nil: as it may be.
  func cases(_ count: Int) -> [(keep: Int, isOneReading: Bool?)] {
    switch self {
    case .ascending, .descending:
      [(1, true), (7, true), (count / 100, true), (count / 2, true), (count - 1, true)]
    case .rareHugeBlock: [(1, true), (49, true), (50, true), (51, true), (count / 2, true)]
    case .periodic:
      [-1, 0, 1].map { (count / 16 + $0, true) } + [(count / 32, true), (count - 1, true)]
    case .runs, .negativeRuns:
      [-1, 0, 1].map { (count / 599 * 300 + $0, true) } + [(1, true), (count / 599 / 2, nil)]
    case .allEqualButOne: [(1, false), (2, false), (count / 2, false), (count, false)]
    case .twoValues:
      [(1, false), (count / 4, false), (count / 2, nil), (count / 2 + 1, nil), (count - 1, false)]
    case .sortedTies: [(count / 3 - 1, nil), (count / 3, nil), (count / 2, false), (count, false)]
    case .mostlyZeros:
      [(1, true), (count / 5000, true), (count / 1000, nil), (count / 2, false), (count, false)]
    case .signedZeros: [(count / 10_000, nil), (count / 2, false), (count - 5, nil)]
    }
  }
}

/// A selection of given scores at every number of threads, the CPU levels taking turns.
///
/// - Returns: how often they were read.
private func check(
  _ values: [Double], ranking: [Int], keep: Int, turn: Int, _ name: Comment
) throws -> Int {
  let count = values.count
  let scores = Stored(.float32, values)
  let sizes = [count / 3, 0, count - count / 3]
  let oracle = Oracle(
    values, kept: Array(ranking.prefix(keep)), candidates: Array(0..<count),
    before: [UInt8](repeating: 1, count: count), sizes: sizes, gradients: nil, step: 1)
  var readings: Set<Int> = []
  for threads in 1...4 {
    let masks = Memory<UInt8>(masksOf: count)
    let level = CPULevel.available[(threads + turn) % CPULevel.available.count]
    var report = try withExtendedLifetime((scores, masks)) {
      try Selection.select(
        from: Scores(given: scores.tensors(sizes)), keep: keep, masks: masks.masks(sizes),
        previous: nil, applying: nil, level: level, threads: threads)
    }
    readings.insert(report.readings)
    // Sums are not exact here: they have tests of their own.
    (report.readings, report.saliency) = (0, oracle.report.saliency)
    report.totalSaliency = oracle.report.totalSaliency
    #expect(report == oracle.report, "\(name) keep \(keep) \(level) with \(threads) threads")
    #expect(masks.values == oracle.mask, "\(name) keep \(keep) \(level) with \(threads) threads")
    #expect(masks.isIntact)
  }
  #expect(readings.count == 1, "\(name) keep \(keep) was read \(readings) times")
  return readings.max() ?? 0
}

@Suite struct BracketTests {
  /// Large enough for four threads.
  private static let count = 4 * Chunk.largestCount + 777

  @Test(arguments: Adversary.allCases)
  private func theMaskIsTheOraclesAllTheSame(adversary: Adversary) throws {
    let values = adversary.values(Self.count).map { Double(Float($0)) }
    let ranking = Oracle.ranking(values, Array(values.indices))
    for (turn, (keep, isOneReading)) in adversary.cases(Self.count).enumerated() {
      let readings = try check(
        values, ranking: ranking, keep: keep, turn: turn, "\(adversary)")
      if let isOneReading {
        #expect((readings == 1) == isOneReading, "\(adversary) keep \(keep): \(readings) readings")
      }
    }
  }

  /// From a few equal scores around the threshold to more than may be listed.
  @Test func aGrowingFloodOfEqualScores() throws {
    let count = Self.count
    var readings: [Int] = []
    for share in [1000, 100, 25, 20, 15, 4] {
      let ties = count / share
      let values = (0..<count).map { i in
        let rank = i * 7919 % count
        return Double(max(0, rank - count / 2 - ties) + min(0, rank - count / 2))
      }
      let ranking = Oracle.ranking(values, Array(values.indices))
      let keep = count / 2 - ties / 2
      readings.append(
        try check(values, ranking: ranking, keep: keep, turn: share, "\(ties) equal scores"))
    }
    #expect(readings.first == 1)
    #expect(readings.last ?? 0 > 1)
    #expect(readings == readings.sorted())
  }
}
