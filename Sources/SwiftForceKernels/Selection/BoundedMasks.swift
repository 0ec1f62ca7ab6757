// Loops over the states of weights while floors and caps are applied: a byte per weight, in the
// memory of the new mask. What must not live here: which groups of weights have floors and caps.

extension Blocks {
  /// The state of a weight that is neither kept nor removed yet. 1 is kept, 0 is removed.
  @inline(__always)
  private static var open: UInt8 { 2 }

  /// Excludes the weights that are kept or removed already: they get the key `excluded`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func excludeDecided(
    _ states: UnsafePointer<UInt8>, count: Int, from keys: UnsafeMutablePointer<Key>
  ) {
    for i in 0..<count { unsafe keys[i] = states[i] == open ? keys[i] : excluded }
  }

  /// Gives open weights a state by whether they are among the best.
  ///
  /// - Parameters:
  ///   - best: 1 for the best weights, 0 for the others.
  ///   - top, rest: the state of open weights that are among the best, and of those that are not.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func decide(
    _ best: UnsafePointer<UInt8>, count: Int, top: UInt8, rest: UInt8,
    in states: UnsafeMutablePointer<UInt8>
  ) {
    let difference = top ^ rest
    for i in 0..<count {
      // All ones where the weight is open.
      let isOpen = unsafe 0 &- (states[i] &>> 1)
      let state = unsafe rest ^ (difference & (0 &- best[i]))
      unsafe states[i] = (state & isOpen) | (states[i] & ~isOpen)
    }
  }

  /// Opens all weights that compete and removes the others.
  ///
  /// - Returns: how many compete.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func open(
    _ keys: UnsafePointer<Key>, count: Int, into states: UnsafeMutablePointer<UInt8>
  ) -> Int {
    var competing = Key.zero
    for i in 0..<count {
      let competes = unsafe keys[i] > excluded
      competing &+= competes ? 1 : 0
      unsafe states[i] = competes ? open : 0
    }
    return Int(competing)
  }

  /// Removes what a cap on small groups of neighbours does not allow: of each group, only the
  /// `most` best open weights stay open, and the others get the key `excluded`. The last group may
  /// have fewer weights.
  ///
  /// - Returns: how many weights stay open.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func capGroups(
    _ keys: UnsafeMutablePointer<Key>, count: Int, group: Int, most: Int,
    in states: UnsafeMutablePointer<UInt8>
  ) -> Int {
    // Ranks are stored in place of the states first, since keys are compared before any changes.
    var start = 0
    if group == 4 { unsafe start = Score.rankFours(keys, count: count, into: states) }
    while start < count {
      let end = min(count, start &+ group)
      for i in start..<end {
        let key = unsafe keys[i]
        var better = 0
        for j in start..<i { better &+= unsafe keys[j] >= key ? 1 : 0 }
        for j in (i &+ 1)..<max(i &+ 1, end) { better &+= unsafe keys[j] > key ? 1 : 0 }
        unsafe states[i] = UInt8(min(255, better))
      }
      start = end
    }
    // Groups are small: ranks fit into a byte.
    let limit = UInt8(min(255, most))
    for i in 0..<count { unsafe keys[i] = states[i] < limit ? keys[i] : excluded }
    return unsafe open(keys, count: count, into: states)
  }

  /// Gives open weights a state by their keys.
  ///
  /// - Parameters:
  ///   - ties: how many open weights whose key is the threshold are among the best, the first ones.
  ///   - top, rest: as for `decide`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func decide(
    _ keys: UnsafePointer<Key>, count: Int, threshold: Key, ties: Int, top: UInt8, rest: UInt8,
    in states: UnsafeMutablePointer<UInt8>
  ) {
    var left = ties
    for i in 0..<count where unsafe states[i] == open {
      let key = unsafe keys[i]
      var isBest = key > threshold
      if key == threshold, left > 0 {
        isBest = true
        left &-= 1
      }
      unsafe states[i] = isBest ? top : rest
    }
  }

  /// The position of the first of the largest keys.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func largest(_ keys: UnsafePointer<Key>, count: Int) -> Int {
    var largest = excluded
    for i in 0..<count { unsafe largest = max(largest, keys[i]) }
    var position = 0
    while position < count &- 1, unsafe keys[position] < largest { position &+= 1 }
    return position
  }

  /// How many weights have a key, and how many of them a mask of 0 and 1 keeps.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func ties(
    _ keys: UnsafePointer<Key>, _ mask: UnsafePointer<UInt8>, count: Int, of key: Key
  ) -> (all: Int, kept: Int) {
    var (all, kept) = (Key.zero, Key.zero)
    for i in 0..<count {
      let hit: Key = unsafe keys[i] == key ? 1 : 0
      all &+= hit
      unsafe kept &+= hit & Key(mask[i])
    }
    return (Int(all), Int(kept))
  }

  /// How often states and what the score alone would decide differ.
  ///
  /// - Parameter best: 0 for scores below the threshold, 1 for those above it, 2 for those at it.
  /// - Returns: the weights kept below the threshold, and those removed above it.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func overruled(
    _ best: UnsafePointer<UInt8>, _ states: UnsafePointer<UInt8>, count: Int
  ) -> (kept: Int, removed: Int) {
    var total = (kept: 0, removed: 0)
    let one: UInt64 = 0x0101_0101_0101_0101
    var start = 0
    // A byte can count up to 255.
    while start < count & ~63 {
      let end = min(count & ~63, start &+ 255 &* 64)
      var (kept, removed) = (SIMD8<UInt64>.zero, SIMD8<UInt64>.zero)
      while start < end {
        let (score, state) = unsafe (bytes(best + start), bytes(states + start))
        kept &+= state & ~(score | score &>> 1) & one
        removed &+= score & ~(state | state &>> 1) & one
        start &+= 64
      }
      total.kept &+= sum(kept)
      total.removed &+= sum(removed)
    }
    while start < count {
      let (score, state) = unsafe (best[start], states[start])
      total.kept &+= score == 0 && state == 1 ? 1 : 0
      total.removed &+= score == 1 && state == 0 ? 1 : 0
      start &+= 1
    }
    return total
  }
}
