// Counting and summing over a block of keys. What must not live here: how the figures of blocks are
// combined, or what is decided from them.

extension Blocks {
  /// How many keys equal `value`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func occurrences(
    of value: Key, in keys: UnsafePointer<Key>, count: Int
  ) -> Int {
    unsafe Score.occurrences(of: value, in: keys, count: count)
  }

  /// The sum of the scores of all keys that are not `excluded`, and of those above `cutoff`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func scoreSums(
    _ keys: UnsafePointer<Key>, count: Int, above cutoff: Key
  ) -> (all: Double, above: Double) {
    unsafe Score.scoreSums(keys, count: count, above: cutoff)
  }

  /// The sum of squares of `count` values.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func squareSum(_ values: UnsafePointer<Score>, count: Int) -> Double {
    unsafe Score.squareSum(values, count: count)
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
}
