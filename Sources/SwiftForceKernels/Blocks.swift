// Scores of a block of weights, as keys. What must not live here: which weights to keep, or
// anything about lists of tensors.

/// The loops of selection over one block, in one type of scores.
///
/// Every loop trusts its pointers: they hold `count` elements, and what is written overlaps nothing
/// else. Nothing is allocated. No operation is fused, and sums are taken in an order that depends
/// on `count` alone, so every CPU computes the same.
public enum Blocks<Score: KeyedScore> {
  public typealias Key = Score.Key

  /// The key of a weight that does not compete.
  @inline(__always)
  public static var excluded: Key { 0 }

  /// The key of a score of zero.
  @inline(__always)
  public static var zero: Key { Score.key(of: 0) }

  /// The score of a key, and the key of a score.
  public static func score(of key: Key) -> Score { Score.score(of: key) }
  public static func key(of score: Score) -> Key { Score.key(of: score) }

  // The functions that fill keys return a number whose top bit is set where a score is not finite.

  /// Keys of the scores `abs(w * g)`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func connectionSensitivity(
    _ weights: UnsafePointer<Score>, _ gradients: UnsafePointer<Score>, count: Int,
    into keys: UnsafeMutablePointer<Key>
  ) -> Key {
    unsafe fill(keys, count) { i in unsafe (weights[i] * gradients[i]).magnitude }
  }

  /// Keys of the scores `g * g`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func squaredGradient(
    _ gradients: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Key {
    unsafe fill(keys, count) { i in unsafe gradients[i] * gradients[i] }
  }

  /// Keys of the scores `abs(w)`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func magnitude(
    _ weights: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Key {
    unsafe fill(keys, count) { i in unsafe weights[i].magnitude }
  }

  /// Keys of scores of either sign.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func given(
    _ scores: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Key {
    unsafe fill(keys, count) { i in unsafe scores[i] }
  }

  /// Takes the weights that `mask` removes out of the competition.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func excludeRemoved(
    _ mask: UnsafePointer<UInt8>, count: Int, from keys: UnsafeMutablePointer<Key>
  ) {
    for i in 0..<count {
      unsafe keys[i] = mask[i] == 0 ? excluded : keys[i]
    }
  }

  /// Turns keys back into scores.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func scores(
    of keys: UnsafePointer<Key>, count: Int, into scores: UnsafeMutablePointer<Score>
  ) {
    for i in 0..<count {
      unsafe scores[i] = Score.score(of: keys[i])
    }
  }

  @inline(__always)
  private static func fill(
    _ keys: UnsafeMutablePointer<Key>, _ count: Int, _ score: (Int) -> Score
  ) -> Key {
    var nonFinite: Key = 0
    for i in 0..<count {
      let value = score(i)
      nonFinite |= Score.nonFiniteBit(value)
      unsafe keys[i] = Score.key(of: value)
    }
    return nonFinite
  }
}
