// The key of a rank, by halving and digit by digit: every rank, in one list and in several.

import Testing

@testable import SwiftForceCore

@Suite struct RadixSelectTests {
  @Test(arguments: Kind.allCases)
  func theKeyOfEveryRank(kind: Kind) {
    let keys = kind.values(97).map { BaselineFloatKernels.key(of: $0) }
    let sorted = keys.sorted(by: >)
    for rank in 1...keys.count {
      let found = RadixSelect<BaselineFloatKernels>.find(rank, in: [keys])
      #expect(found.isFound)
      #expect(found.key == sorted[rank - 1])
      #expect(found.matches == keys.count { $0 == found.key })
      #expect(found.rank == rank - keys.count { $0 > found.key })
    }
  }

  /// Several lists, some of them empty, give the same result as one, also with bounds of the keys.
  @Test(arguments: Kind.allCases)
  func severalListsAreAsOne(kind: Kind) {
    let keys = kind.values(97).map { BaselineFloatKernels.key(of: $0) }
    let lists = [[], Array(keys[..<40]), [], Array(keys[40..<41]), Array(keys[41...]), []]
    let (low, high) = (keys.min() ?? 0, keys.max() ?? 0)
    for rank in 1...keys.count {
      let one = RadixSelect<BaselineFloatKernels>.find(rank, in: [keys])
      for other in [
        RadixSelect<BaselineFloatKernels>.find(rank, in: lists),
        RadixSelect<BaselineFloatKernels>.find(rank, in: lists, from: low, through: high),
      ] {
        #expect((other.key, other.matches, other.rank) == (one.key, one.matches, one.rank))
      }
    }
  }

  /// From 4,096 keys on digits are counted; with fewer, the range is halved.
  @Test(arguments: [4095, 4096, 5000], [1, 3, 1 << 20])
  func manyKeys(count: Int, distinct: Int32) throws {
    var generator = Generator(seed: UInt64(count))
    let keys = (0..<count).map { _ in Int(Int32(truncatingIfNeeded: generator.next()) % distinct) }
    let ranks = [1, 2, count / 3, count / 2, count - 1, count]
    for level in CPULevel.available {
      for wide in [false, true] {
        try Finding(keys: keys, ranks: ranks).dispatch(wide: wide, level: level)
      }
    }
  }

  /// Sums of such keys overflow.
  @Test(arguments: CPULevel.available)
  func theLargestAndTheSmallestKeys(level: CPULevel) throws {
    for (wide, least, most) in [
      (false, Int(Int32.min), Int(Int32.max)), (true, Int.min, Int.max),
    ] {
      let keys = [least, most, 0, 1, -1, most, least + 1, most - 1, least, 7]
      try Finding(keys: keys, ranks: Array(1...keys.count)).dispatch(wide: wide, level: level)
    }
  }
}

/// Compares the keys of some ranks with those of the sorted list.
private struct Finding: KernelJob {
  let keys: [Int]
  let ranks: [Int]

  func run<K: BlockKernels>(_: K.Type, _: Int) {
    let keys = keys.map { K.Key($0) }
    let sorted = keys.sorted(by: >)
    for rank in ranks {
      let found = RadixSelect<K>.find(rank, in: [keys])
      #expect(found.isFound)
      #expect(found.key == sorted[rank - 1])
      #expect(found.matches == keys.count { $0 == found.key })
      #expect(found.rank == rank - keys.count { $0 > found.key })
    }
  }
}
