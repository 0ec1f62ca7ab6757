// Radix selection: the key of every rank, in one list and in several.

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
}
