// Classifying the keys of a block by the bracket, with counts and sums, and counting keys in
// histograms. What must not live here: how the statistics of blocks are combined, and what is
// decided from them.

/// Counts and sums over a block.
///
/// - isFinite: whether all scores that the loop itself computed are finite.
/// - zeros: how many scores are zero.
/// - above, inside: how many keys are above the bracket, and how many are inside.
/// - scores, saliency: the sum of all scores, and of the scores above the bracket.
/// - squares: the sum of the squared gradients.
public typealias BlockStatistics = (
  isFinite: Bool, zeros: Int, above: Int, inside: Int, scores: Double, saliency: Double,
  squares: Double
)

/// The addresses of the arrays of the next block, and the bytes of one element of each. The loop
/// prefetches them, so that the data arrives while this block is processed.
public typealias PrefetchAddresses = (
  first: UnsafeRawPointer, firstSize: Int, second: UnsafeRawPointer, secondSize: Int
)

extension Blocks {
  /// The mask byte of a weight that is undecided because its key is inside the bracket.
  @inline(__always)
  static var undecided: UInt8 { 2 }

  /// Classifies the keys of a block: writes 1 if a key is above the bracket, 2 if it is inside, and
  /// 0 if it is below.
  ///
  /// - Parameters:
  ///   - gradients: nil if none are read.
  ///   - areSigned: whether scores may be negative.
  ///   - count: at most 65,535.
  ///   - low, high: the ends of the bracket, both inclusive.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func classify(
    _ keys: UnsafePointer<Key>, gradients: UnsafePointer<Score>?, count: Int, areSigned: Bool,
    low: Key, high: Key, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe Score.classify(
      keys, gradients: gradients, count: count, areSigned: areSigned, low: low, high: high,
      prefetch: prefetch, into: mask)
  }

  /// Computes and writes the keys of the scores `abs(w * g)`, and classifies them like `classify`.
  ///
  /// - Parameters:
  ///   - weights, gradients: where the block begins in each array.
  ///   - code: the element type of both arrays: that of the scores, or one of 16 bits, which is
  ///     widened to binary32 on the way.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func classifyProducts(
    _ weights: UnsafeRawPointer, _ gradients: UnsafeRawPointer, code: Int, count: Int, low: Key,
    high: Key, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Key>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe Score.classifyProducts(
      weights, gradients, code: code, count: count, low: low, high: high, prefetch: prefetch,
      keys: keys, into: mask)
  }

  /// Adds to `bins` the histogram of one digit of those keys whose higher digits equal `prefix`.
  ///
  /// - Parameters:
  ///   - shift: position of the digit's lowest bit; the bits above the digit are the prefix.
  ///   - flip: bits to flip in each digit, so that a digit that holds the sign bit sorts correctly.
  ///   - bins: `digitMask + 1` counters.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func addHistogram(
    _ keys: UnsafePointer<Key>, count: Int, prefix: Key, prefixMask: Key, shift: Key,
    digitMask: Key, flip: Key, to bins: UnsafeMutablePointer<Int>
  ) {
    for i in 0..<count {
      let key = unsafe keys[i]
      // Adding 0 is cheaper than a branch that depends on the data.
      let hit = key & prefixMask == prefix ? 1 : 0
      unsafe bins[Int(truncatingIfNeeded: ((key &>> shift) & digitMask) ^ flip)] &+= hit
    }
  }

  /// How many keys are at least `key`.
  ///
  /// - Parameter key: not the smallest of its type.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func atLeast(_ key: Key, _ keys: UnsafePointer<Key>, count: Int) -> Int {
    unsafe Score.atLeast(key, keys, count: count)
  }

  /// Adds to `bins` the histogram of the positions whose keys equal `key`.
  ///
  /// - Parameters:
  ///   - offset: the position of the first key, relative to the first position of the first bin.
  ///   - shift: a bin counts 2 to the power of this many positions.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func addTies(
    _ keys: UnsafePointer<Key>, count: Int, of key: Key, offset: Int, shift: Int,
    to bins: UnsafeMutablePointer<Int>
  ) {
    for i in 0..<count {
      let hit = unsafe keys[i] == key ? 1 : 0
      unsafe bins[(offset &+ i) &>> shift] &+= hit
    }
  }
}
