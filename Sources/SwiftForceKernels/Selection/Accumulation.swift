// Scores accumulated over the steps of a search, the factor on the scores of removed weights, scores
// divided by a cost, the sum of the scores that a mask keeps, and the number of zeros. What must not
// live here: when a search accumulates scores, and which weights compete.

extension Blocks {
  /// Replaces the key of each score s, not negative, by that of `momentum * accumulated + s`.
  ///
  /// The product is rounded, and then the sum.
  ///
  /// - Parameter limit: a key.
  /// - Returns: whether all new keys are below the limit.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func accumulate(
    _ accumulated: UnsafePointer<Score>, momentum: Score, count: Int, below limit: Key,
    into keys: UnsafeMutablePointer<Key>
  ) -> Bool {
    var largest: Key = 0
    for i in 0..<count {
      let product = unsafe momentum * accumulated[i]
      let key = Score.magnitudeKey(of: unsafe product + Score.score(of: keys[i]))
      largest = max(largest, key)
      unsafe keys[i] = key
    }
    return largest < limit
  }

  /// Multiplies the scores of the weights that `mask` removes; no score is negative.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func multiplyRemoved(
    _ mask: UnsafePointer<UInt8>, by factor: Score, count: Int,
    in keys: UnsafeMutablePointer<Key>
  ) {
    for i in 0..<count {
      let key = unsafe keys[i]
      let product = Score.magnitudeKey(of: factor * Score.score(of: key))
      unsafe keys[i] = mask[i] == 0 ? product : key
    }
  }

  /// Divides scores of either sign; weights that do not compete still do not.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func divide(
    _ keys: UnsafeMutablePointer<Key>, by cost: Score, count: Int
  ) {
    for i in 0..<count {
      let key = unsafe keys[i]
      let quotient = Score.key(of: Score.score(of: key) / cost)
      unsafe keys[i] = key == Key.min ? key : quotient
    }
  }

  /// Writes the scores of keys to an array of binary32 or binary64, rounded to its type; 0 for the
  /// weights that do not compete.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func store(
    _ keys: UnsafePointer<Key>, count: Int, into base: UnsafeMutableRawPointer, code: Int,
    start: Int
  ) {
    if code == ElementCode.float64 {
      let target = unsafe base.assumingMemoryBound(to: Double.self) + start
      for i in 0..<count { unsafe target[i] = Double(Score.score(of: max(0, keys[i]))) }
    } else {
      let target = unsafe base.assumingMemoryBound(to: Float.self) + start
      for i in 0..<count { unsafe target[i] = Float(Score.score(of: max(0, keys[i]))) }
    }
  }

  /// How many scores are zero.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func zeros(_ keys: UnsafePointer<Key>, count: Int) -> Int {
    // Two loops in vectors: the compiler makes a branch of each key of a loop that counts equal ones.
    unsafe atLeast(0, keys, count: count) - atLeast(1, keys, count: count)
  }

  /// How many of the scores that `mask` keeps are zero.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func zeros(
    _ keys: UnsafePointer<Key>, keptBy mask: UnsafePointer<UInt8>, count: Int
  ) -> Int {
    var found: Key = 0
    for i in 0..<count {
      let hit: Key = unsafe (keys[i] == 0 ? 1 : 0) & (mask[i] != 0 ? 1 : 0)
      found &+= hit
    }
    return Int(found)
  }

  /// The sum in binary64 of the scores of either sign that `mask` keeps.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func keptSum(
    _ keys: UnsafePointer<Key>, _ mask: UnsafePointer<UInt8>, count: Int
  ) -> Double {
    unsafe Score.keptSum(keys, mask, count: count)
  }
}
