// Selection against a stable sort, bit for bit: every kind of data, sizes around every limit, every
// way to split an array into tensors, and tiny cases exhaustively.

import SwiftForceCore
import Testing

/// Scores and masks of one selection.
private struct Selecting {
  let scores: Memory<Float>
  let masks: Memory<UInt8>

  init(_ values: [Float]) {
    scores = Memory(values)
    masks = Memory(masksOf: values.count)
  }

  func select(keep: Int, sizes: [Int]) throws -> Report {
    var report = try withExtendedLifetime(self) {
      try Selection.select(
        scores.tensors(sizes), keep: keep, into: masks.masks(sizes))
    }
    // The number of passes is not part of the result; BracketTests checks it.
    report.passes = 0
    return report
  }

  /// Whether nothing but the masks was written.
  func isIntact(_ values: [Float]) -> Bool {
    scores.isIntact && masks.isIntact && scores.bits == values.map(\.bitPattern)
  }

  var isUnwritten: Bool { masks.isIntact && masks.values.allSatisfy { $0 == Memory.unwritten } }
}

/// The numbers of weights to keep that are tried.
private func keeps(of count: Int) -> [Int] {
  Set([1, 2, count / 2, count - 1, count]).filter { (1...max(1, count)).contains($0) }.sorted()
}

/// Selects and compares with the oracle. The sorted positions are passed, so that they are sorted
/// only once for all numbers to keep.
private func check(
  _ values: [Float], ranking: [Int], keep: Int, sizes: [Int], _ kind: Kind
) throws {
  let selecting = Selecting(values)
  let report = try selecting.select(keep: keep, sizes: sizes)
  let scores = values.map { Double($0) }
  let oracle = Oracle(
    scores, kept: Array(ranking.prefix(keep)), candidates: Array(values.indices),
    before: [UInt8](repeating: 1, count: values.count), sizes: sizes, gradients: nil, step: 1)
  // Computed only on failure: building this text every time would take longer than the selection.
  var comment: Comment { "\(kind) n \(values.count) keep \(keep) sizes \(sizes)" }
  #expect(selecting.masks.values == oracle.mask, comment)
  #expect(report == oracle.report, comment)
  #expect(
    report.arbitrary
      == Oracle.arbitrary(scores, mask: oracle.mask, candidates: Array(values.indices)), comment)
  #expect(selecting.isIntact(values), comment)
}

@Suite struct SelectionTests {
  @Test(arguments: Kind.allCases)
  func smallSizes(kind: Kind) throws {
    for count in 1...70 {
      let values = kind.values(count)
      let ranking = Oracle.ranking(values.map { Double($0) }, Array(values.indices))
      for keep in keeps(of: count) {
        let ways = splits(of: count)
        // Every way to split small arrays; for larger ones the ways rotate.
        for sizes in count <= 10 ? ways : [ways[(count + keep) % ways.count]] {
          try check(values, ranking: ranking, keep: keep, sizes: sizes, kind)
        }
      }
    }
  }

  @Test(arguments: Kind.allCases, [511, 512, 513, 1023, 1024, 1025])
  func sizesAroundTheEdgesOfBlocks(kind: Kind, count: Int) throws {
    let values = kind.values(count)
    let ranking = Oracle.ranking(values.map { Double($0) }, Array(values.indices))
    for keep in keeps(of: count) {
      try check(values, ranking: ranking, keep: keep, sizes: [count], kind)
    }
    for sizes in splits(of: count).suffix(2) {
      try check(values, ranking: ranking, keep: count / 2, sizes: sizes, kind)
    }
  }

  /// Every array of up to five values among -0, 0, 1 and 2, and every number to keep.
  @Test func tinyCasesExhaustively() throws {
    let digits: [Float] = [-0.0, 0, 1, 2]
    for count in 1...5 {
      for number in 0..<(1 << (2 * count)) {
        let values = (0..<count).map { digits[number >> (2 * $0) & 3] }
        for keep in 1...count {
          let selecting = Selecting(values)
          let report = try selecting.select(keep: keep, sizes: [count])
          let oracle = Oracle(values, keep: keep, sizes: [count])
          #expect(selecting.masks.values == oracle.mask, "\(values) keep \(keep)")
          #expect(report == oracle.report, "\(values) keep \(keep)")
        }
      }
    }
  }

  /// Neighbouring scores that differ in a single bit, in every digit of the search for the
  /// threshold and at its edges.
  @Test(arguments: 0..<31)
  func scoresOneBitApart(bit: UInt32) throws {
    let patterns: [UInt32] = [0x3F80_0000, 0x3F9F_F800, 0x4020_0400, 0x0080_03FF, 0]
    for pattern in patterns {
      let other = pattern ^ (1 << bit)
      let scores = [pattern, other, pattern, other, pattern].map(Float.init(bitPattern:))
      guard scores.allSatisfy(\.isFinite) else { continue }
      for values in [scores, scores.map(-)] {
        for keep in 1...5 {
          let selecting = Selecting(values)
          let report = try selecting.select(keep: keep, sizes: [5])
          let oracle = Oracle(values, keep: keep, sizes: [5])
          #expect(selecting.masks.values == oracle.mask, "bit \(bit) of \(pattern)")
          #expect(report.threshold == oracle.report.threshold)
          #expect(report.atThreshold == oracle.report.atThreshold)
          #expect(report.keptAtThreshold == oracle.report.keptAtThreshold)
        }
      }
    }
  }

  @Test func theExtremesOfTheTypeCompete() throws {
    let greatest = Float.greatestFiniteMagnitude
    let least = Float.leastNonzeroMagnitude
    let values = [-greatest, greatest, least, -least, 0, -1, 1]
    let expected = [1, 6, 2, 4, 3, 5, 0]
    for keep in 1...values.count {
      let selecting = Selecting(values)
      let report = try selecting.select(keep: keep, sizes: [7])
      let kept = Set(expected.prefix(keep))
      #expect(selecting.masks.values == values.indices.map { kept.contains($0) ? 1 : 0 })
      #expect(report.threshold == Double(values[expected[keep - 1]]))
    }
  }

  @Test func theThresholdIsNeverNegativeZero() throws {
    let report = try Selecting([-0.0, -0.0, -1]).select(keep: 2, sizes: [3])
    #expect(report.threshold.bitPattern == 0)
    #expect(report.saliency.bitPattern == 0)
  }
}

@Suite struct SelectionErrorTests {
  @Test(arguments: [Float.nan, .infinity, -.infinity, -.nan, .signalingNaN])
  func scoresThatAreNotFiniteAreNamed(value: Float) throws {
    for (sizes, tensor, index) in [([9], 0, 4), ([2, 0, 7], 2, 2), ([4, 1, 4], 1, 0)] {
      var values = Kind.random.values(9)
      values[4] = value
      if sizes.count == 1 { values[7] = value }
      let selecting = Selecting(values)
      let error = try #require(failure { _ = try selecting.select(keep: 3, sizes: sizes) })
      guard case .nonFinite(let found) = error else {
        Issue.record("\(error)")
        continue
      }
      #expect(found.operand == .scores)
      #expect(found.tensor == tensor)
      #expect(found.firstIndex == index)
      #expect(found.count == (sizes.count == 1 ? 2 : 1))
      #expect(value.isNaN ? found.value.isNaN : found.value == Double(value))
      #expect(selecting.isUnwritten)
    }
  }

  /// At every position around the edges of blocks and of vectors.
  @Test(arguments: [0, 1, 7, 8, 15, 16, 510, 511, 512, 513, 1023, 1024, 3999])
  func aSingleNaNIsFoundAnywhere(position: Int) throws {
    var values = Kind.constant.values(4000)
    values[position] = .nan
    let selecting = Selecting(values)
    let error = failure { _ = try selecting.select(keep: 1, sizes: [4000]) }
    guard case .nonFinite(let found) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(found.firstIndex == position)
    #expect(found.count == 1)
    #expect(selecting.isUnwritten)
  }

  @Test(arguments: [0, -1, 4, .min, .max])
  func aNumberToKeepOutOfRangeIsRefused(keep: Int) {
    let selecting = Selecting([1, 2, 3])
    #expect(throws: SFError.badKeep(keep: keep, of: 3)) {
      try selecting.select(keep: keep, sizes: [1, 2])
    }
    #expect(selecting.isUnwritten)
  }

  @Test(arguments: [[], [0], [0, 0]] as [[Int]])
  func nothingToSelectFromIsRefused(sizes: [Int]) {
    #expect(throws: SFError.badCount(0)) { try Selecting([]).select(keep: 1, sizes: sizes) }
  }

  @Test func masksOfOtherSizesAreRefused() {
    let selecting = Selecting([1, 2, 3])
    withExtendedLifetime(selecting) {
      #expect(throws: SFError.sizeMismatch(.masks, tensor: nil, got: 1, expected: 2)) {
        try Selection.select(
          selecting.scores.tensors([1, 2]), keep: 1, into: selecting.masks.masks([3]))
      }
      #expect(throws: SFError.sizeMismatch(.masks, tensor: 0, got: 2, expected: 1)) {
        try Selection.select(
          selecting.scores.tensors([1, 2]), keep: 1, into: selecting.masks.masks([2, 1]))
      }
      #expect(selecting.isUnwritten)
    }
  }
}
