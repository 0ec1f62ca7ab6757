// The keys of the scores of a block of weights. What must not live here: which weights to keep, and
// anything about lists of tensors.

/// The loops of selection over one block, for one type of scores.
///
/// Every loop trusts its pointers: they must point to `count` elements, and an array that is
/// written must not overlap another argument. Nothing is allocated. No operation is fused, and the
/// order of a sum depends on `count` and on element types alone, so every CPU computes the same bits.
public enum Blocks<Score: KeyedScore> {
  public typealias Key = Score.Key

  /// The key of a weight that does not compete.
  @inline(__always)
  public static var excluded: Key { Key.min }

  /// The score of a key.
  public static func score(of key: Key) -> Score { Score.score(of: key) }

  /// The key of a score.
  public static func key(of score: Score) -> Key { Score.key(of: score) }

  // The functions that fill keys return whether every score is finite.

  /// Keys of the scores `abs(w * g)`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func connectionSensitivity(
    _ weights: UnsafePointer<Score>, _ gradients: UnsafePointer<Score>, count: Int,
    into keys: UnsafeMutablePointer<Key>
  ) -> Bool {
    unsafe fillMagnitudes(keys, count) { i in unsafe weights[i] * gradients[i] }
  }

  /// Keys of the scores `g * g`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func squaredGradient(
    _ gradients: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Bool {
    unsafe fillMagnitudes(keys, count) { i in unsafe gradients[i] * gradients[i] }
  }

  /// Keys of the scores `abs(w)`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func magnitude(
    _ weights: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Bool {
    unsafe fillMagnitudes(keys, count) { i in unsafe weights[i] }
  }

  /// Keys of scores of either sign.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func given(
    _ scores: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Bool {
    var largest: Key = 0
    for i in 0..<count {
      let score = unsafe scores[i]
      largest = max(largest, Score.magnitudeKey(of: score))
      unsafe keys[i] = Score.key(of: score)
    }
    return largest < Score.magnitudeKey(of: .infinity)
  }

  @inline(__always)
  private static func fillMagnitudes(
    _ keys: UnsafeMutablePointer<Key>, _ count: Int, _ score: (Int) -> Score
  ) -> Bool {
    var largest: Key = 0
    for i in 0..<count {
      let key = Score.magnitudeKey(of: score(i))
      largest = max(largest, key)
      unsafe keys[i] = key
    }
    return largest < Score.magnitudeKey(of: .infinity)
  }

  /// Excludes the weights that `mask` removes: they get the key `excluded`.
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
}
