// The floating-point types that scores are computed in, and the integers that order as they do.

/// A type of scores whose values map to keys: unsigned integers that order as the scores do.
///
/// Larger score, larger key; -0 and +0 have the same key; the key 0 belongs to no finite score and
/// stands for "does not compete".
public protocol KeyedScore: BinaryFloatingPoint, SIMDScalar, Codable, Sendable {
  associatedtype Key: FixedWidthInteger & UnsignedInteger & SIMDScalar & Sendable

  /// The key of a score.
  static func key(of score: Self) -> Key
  /// The score of a key.
  static func score(of key: Key) -> Self
  /// Counts and sums; see `Blocks`.
  static func occurrences(of value: Key, in keys: UnsafePointer<Key>, count: Int) -> Int
  static func scoreSums(
    _ keys: UnsafePointer<Key>, count: Int, above cutoff: Key
  ) -> (all: Double, above: Double)
  static func squareSum(_ values: UnsafePointer<Self>, count: Int) -> Double
  /// A value whose top bit is set exactly where the score is NaN or infinite; results may be
  /// or-ed together.
  static func nonFiniteBit(_ score: Self) -> Key
}

extension Float: KeyedScore {
  @inline(__always)
  public static func key(of score: Float) -> UInt32 {
    // Adding zero turns -0 into +0 and changes no other value.
    let bits = (score + 0).bitPattern
    return bits ^ (UInt32(bitPattern: Int32(bitPattern: bits) >> 31) | 0x8000_0000)
  }

  @inline(__always)
  public static func score(of key: UInt32) -> Float {
    let negative = UInt32(bitPattern: ~Int32(bitPattern: key) >> 31)
    return Float(bitPattern: key ^ (negative | 0x8000_0000))
  }

  /// The scores of those keys that are larger than `cutoff`, and zero for the others.
  @inline(__always)
  static func scores(of keys: SIMD8<UInt32>, above cutoff: SIMD8<UInt32>) -> SIMD8<Float> {
    let negative = unsafe unsafeBitCast(~keys, to: SIMD8<Int32>.self) &>> 31
    let flip = unsafe unsafeBitCast(negative, to: SIMD8<UInt32>.self) | 0x8000_0000
    let bits = (keys ^ flip).replacing(with: 0, where: keys .<= cutoff)
    return unsafe unsafeBitCast(bits, to: SIMD8<Float>.self)
  }

  @inline(__always)
  public static func nonFiniteBit(_ score: Float) -> UInt32 {
    // An exponent of all ones carries into the sign when one is added to it.
    (score.bitPattern & 0x7F80_0000) &+ 0x0080_0000
  }
}

extension Double: KeyedScore {
  @inline(__always)
  public static func key(of score: Double) -> UInt64 {
    let bits = (score + 0).bitPattern
    return bits ^ (UInt64(bitPattern: Int64(bitPattern: bits) >> 63) | 0x8000_0000_0000_0000)
  }

  @inline(__always)
  public static func score(of key: UInt64) -> Double {
    let negative = UInt64(bitPattern: ~Int64(bitPattern: key) >> 63)
    return Double(bitPattern: key ^ (negative | 0x8000_0000_0000_0000))
  }

  /// The scores of those keys that are larger than `cutoff`, and zero for the others.
  @inline(__always)
  static func scores(of keys: SIMD8<UInt64>, above cutoff: SIMD8<UInt64>) -> SIMD8<Double> {
    let negative = unsafe unsafeBitCast(~keys, to: SIMD8<Int64>.self) &>> 63
    let flip = unsafe unsafeBitCast(negative, to: SIMD8<UInt64>.self) | 0x8000_0000_0000_0000
    let bits = (keys ^ flip).replacing(with: 0, where: keys .<= cutoff)
    return unsafe unsafeBitCast(bits, to: SIMD8<Double>.self)
  }

  @inline(__always)
  public static func nonFiniteBit(_ score: Double) -> UInt64 {
    (score.bitPattern & 0x7FF0_0000_0000_0000) &+ 0x0010_0000_0000_0000
  }
}
