// The one loop over a block's keys: what is kept, what is counted, what is summed. What must not
// live here: how the figures of blocks are combined, or what is decided from them.

/// Figures of a block.
///
/// - isFinite: whether all scores are that the loop itself computed.
/// - zeros: how many scores are zero.
/// - above, inside: how many keys are above the bracket, and how many in it.
/// - scores, saliency: the sums of all scores, and of those above the bracket.
/// - squares: the sum of the squared gradients.
public typealias BlockStatistics = (
  isFinite: Bool, zeros: Int, above: Int, inside: Int, scores: Double, saliency: Double,
  squares: Double
)

/// Where the arrays go on that the next block is filled from, and how many bytes an element of each
/// has: the loop asks for that memory as it goes, so that it comes while this block is dealt with.
public typealias PrefetchAddresses = (
  first: UnsafeRawPointer, firstSize: Int, second: UnsafeRawPointer, secondSize: Int
)

extension Blocks {
  /// What a byte of a mask holds while it is not decided: between the ends of the bracket.
  @inline(__always)
  static var undecided: UInt8 { 2 }

  /// Writes 1 where the key is above the bracket, 2 where it is inside, 0 where it is below; counts
  /// and sums.
  ///
  /// - Parameters:
  ///   - gradients: nil where none are read.
  ///   - areSigned: whether scores may be negative; all compete then.
  ///   - low, high: the ends of the bracket, both inside.
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

  /// As `classify`, of the scores `abs(w * g)`, whose keys it writes.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func classifyProducts(
    _ weights: UnsafePointer<Score>, _ gradients: UnsafePointer<Score>, count: Int, low: Key,
    high: Key, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Key>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe Score.classifyProducts(
      weights, gradients, count: count, low: low, high: high, prefetch: prefetch, keys: keys,
      into: mask)
  }

  /// Adds to `bins` the histogram of one digit of those keys whose higher digits equal `prefix`.
  ///
  /// - Parameters:
  ///   - shift: position of the digit's lowest bit; the bits above the digit are the prefix.
  ///   - flip: turned over in each digit, so that a digit with the sign orders, too.
  ///   - bins: `digitMask + 1` counters.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func addHistogram(
    _ keys: UnsafePointer<Key>, count: Int, prefix: Key, prefixMask: Key, shift: Key,
    digitMask: Key, flip: Key, to bins: UnsafeMutablePointer<Int>
  ) {
    for i in 0..<count {
      let key = unsafe keys[i]
      // Counting a zero is cheaper than a branch that the data decides.
      let hit = key & prefixMask == prefix ? 1 : 0
      unsafe bins[Int(truncatingIfNeeded: ((key &>> shift) & digitMask) ^ flip)] &+= hit
    }
  }

  /// Adds to `bins` how many of the keys equal one of them, by their positions.
  ///
  /// - Parameters:
  ///   - offset: how far the first key lies behind where the bins begin.
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
