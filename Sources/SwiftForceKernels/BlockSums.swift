// Counting and summing over a block of keys. What must not live here: how the figures of blocks are
// combined, or what is decided from them.

extension Blocks {
  /// How many keys equal `value`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func occurrences(
    of value: Key, in keys: UnsafePointer<Key>, count: Int
  ) -> Int {
    var total: Key = 0
    for i in 0..<count {
      total &+= unsafe keys[i] == value ? 1 : 0
    }
    return Int(total)
  }

  /// The sum of the scores of those keys that are above `cutoff`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func scoreSum(
    _ keys: UnsafePointer<Key>, count: Int, above cutoff: Key
  ) -> Double {
    sum(count) { i in
      let key = unsafe keys[i]
      return Double(key > cutoff ? Score.score(of: key) : 0)
    }
  }

  /// The sum of squares of `count` values.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func squareSum(_ values: UnsafePointer<Score>, count: Int) -> Double {
    sum(count) { i in
      let value = Double(unsafe values[i])
      return value * value
    }
  }

  /// Adds to `bins` the histogram of one digit of those keys whose higher digits equal `prefix`.
  ///
  /// - Parameters:
  ///   - shift: position of the digit's lowest bit; the bits above the digit are the prefix.
  ///   - bins: `digitMask + 1` counters.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func addHistogram(
    _ keys: UnsafePointer<Key>, count: Int, prefix: Key, prefixMask: Key, shift: Key,
    digitMask: Key, to bins: UnsafeMutablePointer<Int>
  ) {
    for i in 0..<count {
      let key = unsafe keys[i]
      // Counting a zero is cheaper than a branch that the data decides.
      let hit = key & prefixMask == prefix ? 1 : 0
      unsafe bins[Int(truncatingIfNeeded: (key &>> shift) & digitMask)] &+= hit
    }
  }

  /// Sixteen running sums, which the compiler keeps in vector registers of whatever width, added
  /// up at the end.
  @inline(__always)
  private static func sum(_ count: Int, _ term: (Int) -> Double) -> Double {
    var lanes = SIMD16<Double>.zero
    let whole = count & ~15
    var start = 0
    while start < whole {
      lanes += SIMD16(
        term(start), term(start + 1), term(start + 2), term(start + 3),
        term(start + 4), term(start + 5), term(start + 6), term(start + 7),
        term(start + 8), term(start + 9), term(start + 10), term(start + 11),
        term(start + 12), term(start + 13), term(start + 14), term(start + 15))
      start += 16
    }
    var total = lanes.sum()
    for i in whole..<count { total += term(i) }
    return total
  }
}
