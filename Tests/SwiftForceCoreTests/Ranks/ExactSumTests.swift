// Exact sums: against sums that binary64 represents, and their rounding otherwise.

import Testing

@testable import SwiftForceCore

/// The sum of numbers, computed as ranks do.
private func sum(_ values: [Double]) -> Double {
  var digits = [Int](repeating: 0, count: ExactSum.count)
  for value in values {
    for (i, digit) in ExactSum(value).digits.enumerated() { digits[i] += digit }
  }
  return ExactSum(digits: digits).value
}

@Suite struct ExactSumTests {
  @Test(arguments: [
    0, 1, 0.1, .pi, .leastNonzeroMagnitude, .leastNonzeroMagnitude * 12345, .leastNormalMagnitude,
    Double.leastNormalMagnitude.nextDown,
    1e300, .greatestFiniteMagnitude, 0x1p63, 0x1p64, 4_294_967_295, 0x1.23456789abcdep-40,
  ])
  func oneNumberIsItself(value: Double) {
    #expect(sum([value]) == value)
    #expect(sum([value, 0, 0]) == value)
    #expect(sum([-value]) == -value)
    #expect(sum([value, -value, value]) == value)
  }

  /// Nothing is rounded before the end, however much cancels.
  @Test func numbersOfBothSignsCancel() {
    #expect(sum([1e300, 1, -1e300]) == 1)
    #expect(sum([-1e300, 3, 1e300, -5]) == -2)
    #expect(sum([1, -1]) == 0)
    #expect(sum([0x1p64, -1]) == 0x1p64)
    #expect(sum([0x1p64, -0x1p11, -1]) == (0x1p64).nextDown)
    #expect(sum([-1, -0x1p-53]) == -1)
    #expect(sum([.leastNonzeroMagnitude, -1]) == -1)
    #expect(sum([1, -.leastNonzeroMagnitude]) == 1)
    #expect(sum([1, -0x1p-54, -0x1p-90]) == (1.0).nextDown)
  }

  @Test func everyPowerOfTwoIsItself() {
    for exponent in -1074...1023 {
      let value = Double(sign: .plus, exponent: exponent, significand: 1)
      #expect(sum([value]) == value)
    }
  }

  /// Half of the last bit rounds to even; anything more, however small, rounds up.
  @Test func theSumIsRoundedOnce() {
    let (half, next) = (0x1p-53, 1.0.nextUp)
    #expect(sum([1, half]) == 1)
    #expect(sum([1, half, .leastNonzeroMagnitude]) == next)
    #expect(sum([next, half]) == next.nextUp)
    #expect(sum([1, half, 0x1p-90]) == next)
    #expect(sum([1] + [Double](repeating: 0x1p-60, count: 128)) == 1)
    #expect(sum([1] + [Double](repeating: 0x1p-60, count: 129)) == next)
  }

  @Test func numbersCarry() {
    #expect(sum([Double](repeating: 0x1.fffffffffffffp0, count: 1 << 10)) == 0x1.fffffffffffffp10)
    #expect(sum([0x1p1023, 0x1p1023]) == .infinity)
    #expect(sum([.greatestFiniteMagnitude, 0x1p960]) == .greatestFiniteMagnitude)
  }

  @Test func whatIsInfiniteStays() {
    #expect(sum([1, .infinity, 2]) == .infinity)
    #expect(sum([.infinity, .infinity]) == .infinity)
    #expect(sum([-.infinity, 1, -.infinity]) == -.infinity)
    #expect(sum([.infinity, -.infinity]).isNaN)
    #expect(sum([1, .nan]).isNaN)
  }

  @Test func theOrderDoesNotMatter() {
    var generator = TestGenerator(state: 3)
    let values = (0..<500).map { _ in
      Double(
        sign: .plus, exponent: Int.random(in: -300...300, using: &generator),
        significand: Double.random(in: 1..<2, using: &generator))
    }
    #expect(sum(values) == sum(values.reversed()))
    #expect(sum(values) == sum(values.sorted()))
    #expect(sum(values).isFinite && sum(values) >= values.max() ?? 0)
  }

  /// Sums of integers below 2^53 are exact in binary64.
  @Test func againstBinary64() {
    var generator = TestGenerator(state: 4)
    for _ in 0..<200 {
      let values = (0..<20).map { _ in
        Double(Int64.random(in: -(1 << 48)..<1 << 48, using: &generator)) * 0x1p-20
      }
      #expect(sum(values) == values.reduce(0, +))
    }
  }
}
