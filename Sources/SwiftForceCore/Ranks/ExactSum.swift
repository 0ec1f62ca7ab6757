// Sums of numbers in binary64 that do not depend on the order, since nothing is rounded before the
// end: ranks that add them up in any way get the same bits. The sum is kept as integers, so it
// travels with the other sums of a step.

/// An exact sum of numbers that are not negative.
///
/// A number is an integer times the smallest one that binary64 has, and the digits of that integer,
/// of 32 bits each, lie in `Int`s: 2^31 numbers can be added before any digit is carried.
struct ExactSum {
  private(set) var digits = [Int](repeating: 0, count: ExactSum.count)

  /// Digits that the largest number needs, two more for what is carried, and how many of the numbers
  /// added were infinite.
  static let count = 68

  private static let digitBits = 32
  /// The exponent of the last bit of the smallest number.
  private static let leastExponent = -1074

  init(_ value: Double) {
    guard value.isFinite else {
      digits[ExactSum.count - 1] = 1
      return
    }
    // A number below the normal ones has the exponent of the smallest of them and no leading bit.
    let isNormal = value.isNormal
    let bits = isNormal ? value.significandBitPattern | 1 << 52 : value.significandBitPattern
    let offset = isNormal ? Int(value.exponentBitPattern) - 1 : 0
    let (digit, shift) = offset.quotientAndRemainder(dividingBy: ExactSum.digitBits)
    let low = bits << UInt64(shift)
    let high = bits >> UInt64(64 - shift)
    digits[digit] = Int(low & 0xFFFF_FFFF)
    digits[digit + 1] = Int(low >> 32)
    digits[digit + 2] = Int(high)
  }

  /// - Parameter digits: sums of the digits of several numbers.
  init(digits: [Int]) {
    self.digits = digits
  }

  /// The sum, rounded once: to nearest, ties to even.
  var value: Double {
    guard digits[ExactSum.count - 1] == 0 else { return .infinity }
    let carried = carried()
    guard let top = carried.lastIndex(where: { $0 != 0 }) else { return 0 }
    // The highest 64 bits from the highest that is set; the last one stands for all below, too, which
    // is all that rounding to 53 bits asks of them.
    let digit = { (i: Int) -> UInt64 in i < 0 ? 0 : carried[i] }
    let lead = UInt64(digit(top).leadingZeroBitCount - ExactSum.digitBits)
    var leading = (digit(top) << 32 | digit(top - 1)) << lead
    let next = digit(top - 2) << lead
    leading |= next >> 32
    let rest = next & 0xFFFF_FFFF != 0 || carried[..<max(0, top - 2)].contains { $0 != 0 }
    if rest { leading |= 1 }
    let exponent = (top - 1) * ExactSum.digitBits - Int(lead) + ExactSum.leastExponent
    return Double(sign: .plus, exponent: exponent, significand: Double(leading))
  }

  /// Digits below 2^32 of the same sum.
  private func carried() -> [UInt64] {
    var carry: UInt64 = 0
    return digits.dropLast().map { digit in
      let sum = UInt64(digit) + carry
      carry = sum >> 32
      return sum & 0xFFFF_FFFF
    }
  }
}
