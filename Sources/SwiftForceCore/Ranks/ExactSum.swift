// Order-independent sums of binary64 numbers. Nothing is rounded before the end, so ranks get the
// same bits in whatever order they add. The sum is kept as integers and travels with the other sums
// of a step. What must not live here: what is summed.

/// An exact sum of numbers.
///
/// A binary64 number is an integer times the smallest positive number. The integer is stored in
/// digits of 32 bits, one per `Int`, so 2^31 numbers can be added before a carry is needed. Negative
/// numbers have digits of their own, because what travels is never negative.
struct ExactSum {
  /// Those of the numbers that are not negative, then those of the negative ones.
  private(set) var digits = [Int](repeating: 0, count: ExactSum.count)

  static let count = 2 * half
  /// The digits of the largest number, two more for carries, and a counter of infinite numbers.
  private static let half = 68

  private static let digitBits = 32
  /// The exponent of the last bit of the smallest number.
  private static let leastExponent = -1074

  init(_ value: Double) {
    let start = value < 0 ? ExactSum.half : 0
    guard value.isFinite else {
      // What is no number is infinite in both directions.
      if !(value < 0) { digits[ExactSum.half - 1] = 1 }
      if !(value > 0) { digits[ExactSum.count - 1] = 1 }
      return
    }
    // A subnormal number has the exponent of the smallest normal number and no leading bit.
    let isNormal = value.isNormal
    let bits = isNormal ? value.significandBitPattern | 1 << 52 : value.significandBitPattern
    let offset = isNormal ? Int(value.exponentBitPattern) - 1 : 0
    let (digit, shift) = offset.quotientAndRemainder(dividingBy: ExactSum.digitBits)
    let low = bits << UInt64(shift)
    let high = bits >> UInt64(64 - shift)
    digits[start + digit] = Int(low & 0xFFFF_FFFF)
    digits[start + digit + 1] = Int(low >> 32)
    digits[start + digit + 2] = Int(high)
  }

  /// - Parameter digits: the digits of several numbers, added digit by digit.
  init(digits: [Int]) {
    self.digits = digits
  }

  /// The sum, rounded once: to nearest, ties to even. NaN if one is, or numbers of both signs are infinite.
  var value: Double {
    let (positive, negative) = (digits.prefix(ExactSum.half), digits.suffix(ExactSum.half))
    switch (positive.last != 0, negative.last != 0) {
    case (true, true): return .nan
    case (true, false): return .infinity
    case (false, true): return -.infinity
    case (false, false): break
    }
    let (above, below) = (ExactSum.carried(positive), ExactSum.carried(negative))
    return above.reversed().lexicographicallyPrecedes(below.reversed())
      ? -ExactSum.rounded(ExactSum.difference(below, above))
      : ExactSum.rounded(ExactSum.difference(above, below))
  }

  /// The digits of the same sum after carrying, each below 2^32.
  private static func carried(_ digits: ArraySlice<Int>) -> [UInt64] {
    var carry: UInt64 = 0
    return digits.dropLast().map { digit in
      let sum = UInt64(digit) + carry
      carry = sum >> 32
      return sum & 0xFFFF_FFFF
    }
  }

  /// The digits of a difference that is not negative.
  private static func difference(_ larger: [UInt64], _ smaller: [UInt64]) -> [UInt64] {
    var borrow: UInt64 = 0
    return zip(larger, smaller).map { digit, taken in
      let left = digit &- taken &- borrow
      borrow = left >> 63
      return left & 0xFFFF_FFFF
    }
  }

  private static func rounded(_ carried: [UInt64]) -> Double {
    guard let top = carried.lastIndex(where: { $0 != 0 }) else { return 0 }
    // The 64 bits from the highest one that is set. The last of them also says whether any lower
    // bit is set (a sticky bit), which is enough to round correctly to 53 bits.
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
}
