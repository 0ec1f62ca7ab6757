// The number of threads: what is accepted.

import SwiftForceCore
import Testing

@Suite struct ThreadsTests {
  @Test func aNumberOutOfRangeIsRefused() {
    for number in [0, -1, Threads.maximum + 1, .min, .max] {
      #expect(throws: SFError.badThreads(number)) { try Threads.set(number) }
    }
  }
}
