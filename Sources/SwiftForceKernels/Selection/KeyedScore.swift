// The floating-point types that scores are computed in, and their keys: integers in the same order.
// What must not live here: loops over many keys (Blocks).

/// A type of scores whose values map to keys: signed integers in the same order.
///
/// A larger score has a larger key. -0 and +0 have the key 0. The key of a score that is not
/// negative is its bit pattern. The smallest key belongs to no score and means "does not compete".
public protocol KeyedScore: BinaryFloatingPoint, SIMDScalar, Codable, Sendable {
  associatedtype Key: FixedWidthInteger & SignedInteger & SIMDScalar & Sendable

  /// The key of a score.
  static func key(of score: Self) -> Key
  /// The score of a key.
  static func score(of key: Key) -> Self
  /// The key of `abs(score)`. It is below the key of infinity if and only if the score is finite.
  static func magnitudeKey(of score: Self) -> Key

  /// Classifies the keys of a block; see `Blocks.classify`.
  static func classify(
    _ keys: UnsafePointer<Key>, gradients: UnsafePointer<Self>?, count: Int, areSigned: Bool,
    low: Key, high: Key, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics
  /// Computes and classifies the keys of a block; see `Blocks.classifyProducts`.
  static func classifyProducts(
    _ weights: UnsafeRawPointer, _ gradients: UnsafeRawPointer, code: Int, count: Int, low: Key,
    high: Key, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Key>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics
  /// Writes the ranks of keys in groups of four, from 0 for the best, the first of equal ones first;
  /// returns how many keys are done, a multiple of four.
  static func rankFours(
    _ keys: UnsafePointer<Key>, count: Int, into ranks: UnsafeMutablePointer<UInt8>
  ) -> Int
  /// How many keys are at least `key`; see `Blocks.atLeast`.
  static func atLeast(_ key: Key, _ keys: UnsafePointer<Key>, count: Int) -> Int
  /// The sum of the scores that a mask keeps; see `Blocks.keptSum`.
  static func keptSum(
    _ keys: UnsafePointer<Key>, _ mask: UnsafePointer<UInt8>, count: Int
  ) -> Double
}

extension Float: KeyedScore {
  @inline(__always)
  public static func key(of score: Float) -> Int32 {
    // Adding 0 turns -0 into +0 and changes no other value.
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
