// The oracle itself: it must detect a single flipped bit, and agree with cases worked out by hand.

import SwiftForceCore
import Testing

@Suite struct OracleTests {
  @Test func aCaseWorkedByHand() {
    let oracle = Oracle([2, 5, -0.0, 5, 0, 2] as [Double], keep: 3, sizes: [1, 0, 5])
    #expect(oracle.mask == [1, 1, 0, 1, 0, 0])
    #expect(oracle.report.threshold == 2)
    #expect(oracle.report.atThreshold == 2)
    #expect(oracle.report.keptAtThreshold == 1)
    #expect(oracle.report.zeroScores == 2)
    #expect(oracle.report.saliency == 12)
    #expect(oracle.report.totalSaliency == 14)
    #expect(oracle.report.removed == 3)
    #expect(oracle.report.layerKept == [1, 0, 2])
  }

  @Test func nestedLeavesOutTheRemoved() {
    let previous: [UInt8] = [0, 1, 1, 1]
    let scores: [Double] = [9, 1, 2, 3]
    let nested = Oracle(scores, keep: 2, sizes: [4], previous: previous, nested: true)
    #expect(nested.mask == [0, 0, 1, 1])
    #expect(nested.report.candidates == 3)
    #expect(nested.report.revived == 0)
    let free = Oracle(scores, keep: 2, sizes: [4], previous: previous)
    #expect(free.mask == [1, 0, 0, 1])
    #expect(free.report.revived == 1)
    #expect(free.report.removed == 2)
  }

  @Test func everyFlippedBitIsSeen() {
    let oracle = Oracle(Kind.fewValues.values(40), keep: 11, sizes: [40])
    for i in 0..<40 {
      var other = oracle
      other.mask[i] ^= 1
      #expect(other != oracle)
    }
  }

  /// The sums of the oracle are exact for every kind of data, so they do not depend on the order.
  @Test(arguments: Kind.allCases)
  func sumsDoNotDependOnTheOrder(kind: Kind) {
    let values = kind.values(8193).map(Double.init)
    let forwards = values.reduce(0, +)
    #expect(forwards == values.reversed().reduce(0, +))
    #expect(forwards == values.sorted().reduce(0, +))
  }
}
