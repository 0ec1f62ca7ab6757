// One parallel loop: every round runs once.

import Testing

@testable import SwiftForceCore

@Suite struct ParallelTests {
  @Test(arguments: 1...5)
  func everyRoundIsDoneOnce(workers: Int) {
    for count in [0, 1, 2, 1000] {
      #expect(Parallel.map(count, workers: workers) { $1 } == Array(0..<count))
    }
  }
}
