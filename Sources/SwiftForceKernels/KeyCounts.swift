// Counting over a block of keys: radix histograms and sums. What must not live here: how the
// counts of blocks are combined, or what is decided from them.

/// Counts and sums over `count` keys. Nothing is allocated; integer results are exact, and sums
/// are taken in binary64 in an order that depends on `count` alone.
public enum KeyCounts {
  /// Adds to `bins` the histogram of one digit of those keys whose higher digits equal `prefix`.
  ///
  /// - Parameters:
  ///   - shift: position of the digit's lowest bit; the bits above the digit are the prefix.
  ///   - bins: `digitMask + 1` counters.
  @unsafe public static func addHistogram(
    _ keys: UnsafePointer<UInt32>, count: Int, prefix: UInt32, prefixMask: UInt32,
    shift: UInt32, digitMask: UInt32, to bins: UnsafeMutablePointer<Int>
  ) {
    for i in 0..<count {
      let key = unsafe keys[i]
      // Counting a zero is cheaper than a branch that the data decides.
      let hit = key & prefixMask == prefix ? 1 : 0
      unsafe bins[Int((key >> shift) & digitMask)] &+= hit
    }
  }

  /// How many keys equal `value`.
  @unsafe public static func occurrences(
    of value: UInt32, in keys: UnsafePointer<UInt32>, count: Int
  ) -> Int {
    var total = 0
    for i in 0..<count {
      total &+= unsafe keys[i] == value ? 1 : 0
    }
    return total
  }

  /// The sum of the scores of those keys that are at least `cutoff`, which is not 0.
  @unsafe public static func scoreSum(
    _ keys: UnsafePointer<UInt32>, count: Int, from cutoff: UInt32
  ) -> Double {
    sum(count) { i in
      let key = unsafe keys[i]
      return key >= cutoff ? Double(ScoreKeys.score(of: key)) : 0
    }
  }

  /// The sum of squares of `count` values.
  @unsafe public static func squareSum(_ values: UnsafePointer<Float>, count: Int) -> Double {
    sum(count) { i in
      let value = Double(unsafe values[i])
      return value * value
    }
  }

  /// Eight running sums, which the compiler may keep in vector registers, added up at the end.
  @inline(__always)
  private static func sum(_ count: Int, _ term: (Int) -> Double) -> Double {
    var lanes = SIMD8<Double>.zero
    let whole = count & ~7
    for start in stride(from: 0, to: whole, by: 8) {
      lanes += SIMD8(
        term(start), term(start + 1), term(start + 2), term(start + 3),
        term(start + 4), term(start + 5), term(start + 6), term(start + 7))
    }
    var total = lanes.sum()
    for i in whole..<count { total += term(i) }
    return total
  }
}
