// Radix selection over positions against a sorted list. SharedSelectionTests checks which ties are
// kept.

import Testing

@testable import SwiftForceCore

@Suite struct PositionSelectTests {
  /// The position of a rank, found from histograms alone.
  private func find(_ rank: Int, in positions: [Int], of count: Int) -> (position: Int, rounds: Int)
  {
    var search = PositionSelect(rank: rank, of: count)
    var rounds = 0
    while !search.isFound {
      var bins = [Int](repeating: 0, count: search.bins)
      for position in positions where position >= search.first && position < search.end {
        bins[(position - search.first) >> search.shift] += 1
      }
      _ = search.narrow(bins)
      rounds += 1
    }
    return (search.first, rounds)
  }

  @Test(arguments: [2, 3, 2047, 2048, 2049, 4096, 100_000, 1 << 22, 1 << 33 + 5, 1 << 62])
  func findsEveryRank(count: Int) {
    var generator = TestGenerator(state: 1)
    var positions = Set([0, count - 1])
    for _ in 0..<30 { positions.insert(Int.random(in: 0..<count, using: &generator)) }
    let sorted = positions.sorted()
    for (i, position) in sorted.enumerated() {
      let found = find(i + 1, in: sorted, of: count)
      #expect(found.position == position)
      let bits = Int.bitWidth - (count - 1).leadingZeroBitCount
      #expect(found.rounds == (bits + 10) / 11)
    }
  }

  @Test func oneWeightNeedsNoRound() {
    #expect(PositionSelect(rank: 1, of: 1).isFound)
  }
}
