// From weights and gradients to sortable integers, one block at a time. A score becomes a key: an
// unsigned integer that orders as the score does, so that selection works on integers alone. What
// must not live here: which weights to keep, or anything about lists of tensors.

/// Keys of 32 bits for scores in binary32.
///
/// Larger score, larger key; -0 and +0 have the same key; the key 0 belongs to no finite score and
/// stands for "does not compete". No operation is fused, so every machine computes the same key.
///
/// The functions that fill keys read `count` elements of each input, write `count` keys, and
/// return whether every score is finite. They allocate nothing.
public enum ScoreKeys {
  /// The key of a weight that does not compete.
  public static let excluded: UInt32 = 0
  /// The key of a score of zero.
  public static let zero: UInt32 = 0x8000_0000

  /// The key of one score.
  @inline(__always)
  public static func key(of score: Float) -> UInt32 {
    // Adding zero turns -0 into +0 and changes no other value.
    let bits = (score + 0).bitPattern
    let sign = UInt32(bitPattern: Int32(bitPattern: bits) >> 31)
    return bits ^ (sign | 0x8000_0000)
  }

  /// The score that has this key.
  @inline(__always)
  public static func score(of key: UInt32) -> Float {
    let negative = UInt32(bitPattern: ~Int32(bitPattern: key) >> 31)
    return Float(bitPattern: key ^ (negative | 0x8000_0000))
  }

  /// Scores `abs(w * g)`: SNIP's connection sensitivity.
  @unsafe public static func connectionSensitivity(
    _ weights: UnsafePointer<Float>, _ gradients: UnsafePointer<Float>, count: Int,
    into keys: UnsafeMutablePointer<UInt32>
  ) -> Bool {
    unsafe fill(keys, count) { i in unsafe (weights[i] * gradients[i]).magnitude }
  }

  /// Scores `g * g`.
  @unsafe public static func squaredGradient(
    _ gradients: UnsafePointer<Float>, count: Int, into keys: UnsafeMutablePointer<UInt32>
  ) -> Bool {
    unsafe fill(keys, count) { i in unsafe gradients[i] * gradients[i] }
  }

  /// Scores `abs(w)`.
  @unsafe public static func magnitude(
    _ weights: UnsafePointer<Float>, count: Int, into keys: UnsafeMutablePointer<UInt32>
  ) -> Bool {
    unsafe fill(keys, count) { i in unsafe weights[i].magnitude }
  }

  /// The caller's scores, of either sign.
  @unsafe public static func given(
    _ scores: UnsafePointer<Float>, count: Int, into keys: UnsafeMutablePointer<UInt32>
  ) -> Bool {
    unsafe fill(keys, count) { i in unsafe scores[i] }
  }

  /// Scores from 64 random bits each: the upper 24, as a multiple of 2^-24 in [0, 1).
  @unsafe public static func random(
    count: Int, into keys: UnsafeMutablePointer<UInt32>, bits: (Int) -> UInt64
  ) -> Bool {
    unsafe fill(keys, count) { i in Float(bits(i) >> 40) * 0x1p-24 }
  }

  /// Takes the weights that are removed in `mask` out of the competition.
  @unsafe public static func excludeRemoved(
    _ mask: UnsafePointer<UInt8>, count: Int, from keys: UnsafeMutablePointer<UInt32>
  ) {
    for i in 0..<count {
      unsafe keys[i] = mask[i] == 0 ? excluded : keys[i]
    }
  }

  /// Turns keys back into scores.
  @unsafe public static func scores(
    of keys: UnsafePointer<UInt32>, count: Int, into scores: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count {
      unsafe scores[i] = score(of: keys[i])
    }
  }

  @inline(__always)
  private static func fill(
    _ keys: UnsafeMutablePointer<UInt32>, _ count: Int, _ score: (Int) -> Float
  ) -> Bool {
    // The sign bit of `overflow` is set by any exponent of all ones: adding one carries into it.
    var overflow: UInt32 = 0
    for i in 0..<count {
      let value = score(i)
      overflow |= (value.bitPattern & 0x7F80_0000) &+ 0x0080_0000
      unsafe keys[i] = key(of: value)
    }
    return overflow & 0x8000_0000 == 0
  }
}
