// The conversion of a sparsity to an exact number of weights.

import SwiftForceCore
import Testing

@Suite struct KeepTests {
  @Test(arguments: [
    (100, 0.0, 100), (100, 0.9, 10), (100, 0.99, 1), (100, 0.999, 1), (1, 0.0, 1), (1, 0.999, 1),
    (1000, 0.95, 50), (7, 0.5, 4), (5, 0.5, 2), (3, 0.5, 2), (1, 0.5, 1), (9, 0.5, 4),
    (6, 0.75, 2), (10, 0.75, 2), (14, 0.75, 4), (25_000_000, 0.995, 125_000),
    (100, -0.0, 100), (100, 1e-300, 100),
  ])
  func roundsHalvesToEven(count: Int, sparsity: Double, expected: Int) throws {
    #expect(try Keep.count(of: count, sparsity: sparsity) == expected)
  }

  /// Truncation would keep 9 of 100 weights at a density just under 0.1, a known mistake.
  @Test func aDensityJustUnderIsRounded() throws {
    #expect(try Keep.count(of: 100, sparsity: 1 - 0.0999999999) == 10)
  }

  @Test func atLeastOneIsKept() throws {
    let most = 1.0.nextDown
    for count in [1, 2, 1000, 1 << 40] {
      #expect(try Keep.count(of: count, sparsity: most) == 1)
    }
    #expect(try Keep.count(of: 1 << 62, sparsity: most) == 512)
  }

  @Test(arguments: [1 << 40, 1 << 53, (1 << 53) + 1, (1 << 62) - 1, 1 << 62])
  func neverMoreThanThereAre(count: Int) throws {
    #expect(try Keep.count(of: count, sparsity: 0) <= count)
    #expect(try Keep.count(of: count, sparsity: 0) >= count - 512)
    #expect(try Keep.count(of: count, sparsity: .leastNonzeroMagnitude) <= count)
    #expect(try Keep.count(of: count, sparsity: 0.5) == Int((Double(count) / 2).rounded()))
  }

  @Test(arguments: [1, 1.0.nextUp, -1e-9, -.leastNonzeroMagnitude, .infinity, -.infinity])
  func aSparsityOutOfRangeIsRefused(sparsity: Double) {
    #expect(throws: SFError.badSparsity(sparsity)) {
      try Keep.count(of: 10, sparsity: sparsity)
    }
  }

  @Test func aSparsityThatIsNoNumberIsRefused() throws {
    let error = try #require(failure { _ = try Keep.count(of: 10, sparsity: .nan) })
    guard case .badSparsity(let value) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(value.isNaN)
  }

  @Test(arguments: [0, -1, .min, (1 << 62) + 1, .max])
  func aCountOutOfRangeIsRefused(count: Int) {
    #expect(throws: SFError.badCount(count)) { try Keep.count(of: count, sparsity: 0.5) }
  }
}
