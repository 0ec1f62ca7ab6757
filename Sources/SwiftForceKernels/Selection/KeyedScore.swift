// The floating-point types that scores are computed in, and the integers that order as they do.

/// A type of scores whose values map to keys: signed integers that order as the scores do.
///
/// Larger score, larger key; -0 and +0 have the key 0; a score that is not negative has its own
/// bits as its key. The smallest key belongs to no score and stands for "does not compete".
public protocol KeyedScore: BinaryFloatingPoint, SIMDScalar, Codable, Sendable {
  associatedtype Key: FixedWidthInteger & SignedInteger & SIMDScalar & Sendable

  /// The key of a score.
  static func key(of score: Self) -> Key
  /// The score of a key.
  static func score(of key: Key) -> Self
  /// The key of `abs(score)`; at least that of infinity exactly where the score is not finite.
  static func magnitudeKey(of score: Self) -> Key

  /// What is counted and summed of a block, and its mask; see `Blocks`.
  static func classify(
    _ keys: UnsafePointer<Key>, gradients: UnsafePointer<Self>?, count: Int, areSigned: Bool,
    low: Key, high: Key, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics
  static func classifyProducts(
    _ weights: UnsafePointer<Self>, _ gradients: UnsafePointer<Self>, count: Int, low: Key,
    high: Key, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Key>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics
}

extension Float: KeyedScore {
  @inline(__always)
  public static func key(of score: Float) -> Int32 {
    // Adding zero turns -0 into +0 and changes no other value.
    let bits = Int32(bitPattern: (score + 0).bitPattern)
    return bits ^ ((bits >> 31) & Int32.max)
  }

  @inline(__always)
  public static func score(of key: Int32) -> Float {
    Float(bitPattern: UInt32(bitPattern: key ^ ((key >> 31) & Int32.max)))
  }

  @inline(__always)
  public static func magnitudeKey(of score: Float) -> Int32 {
    Int32(bitPattern: score.bitPattern) & Int32.max
  }
}

extension Double: KeyedScore {
  @inline(__always)
  public static func key(of score: Double) -> Int64 {
    let bits = Int64(bitPattern: (score + 0).bitPattern)
    return bits ^ ((bits >> 63) & Int64.max)
  }

  @inline(__always)
  public static func score(of key: Int64) -> Double {
    Double(bitPattern: UInt64(bitPattern: key ^ ((key >> 63) & Int64.max)))
  }

  @inline(__always)
  public static func magnitudeKey(of score: Double) -> Int64 {
    Int64(bitPattern: score.bitPattern) & Int64.max
  }
}
