// Writing a block of a mask, and of what follows from it. What must not live here: where a threshold
// or a bracket comes from.

extension Blocks {
  /// What a byte of a mask holds while it is not decided: between the ends of the bracket.
  @inline(__always)
  private static var undecided: UInt8 { 2 }

  /// Writes 1 where the key is above the bracket, 2 where it is inside, 0 where it is below.
  ///
  /// - Returns: how many are above, and how many inside.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func classify(
    _ keys: UnsafePointer<Key>, count: Int, low: Key, high: Key,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> (above: Int, inside: Int) {
    // Counted in the width of a key, so that the loop stays in vectors of keys.
    var above: Key = 0
    var reached: Key = 0
    for i in 0..<count {
      let key = unsafe keys[i]
      let isAbove: Key = key > high ? 1 : 0
      let isReached: Key = key >= low ? 1 : 0
      above &+= isAbove
      reached &+= isReached
      // Above: 2 - 1. Inside: 2 - 0. Below: 0.
      unsafe mask[i] = UInt8(truncatingIfNeeded: (isReached &<< 1) &- isAbove)
    }
    return (Int(above), Int(reached &- above))
  }

  /// Lists the undecided weights of a block, in order, and marks them as removed for now.
  ///
  /// - Parameters:
  ///   - inside: how many there are.
  ///   - offset: added to each position.
  ///   - found, positions: room for all of them, and one more.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func collect(
    _ keys: UnsafePointer<Key>, _ mask: UnsafeMutablePointer<UInt8>, count: Int, inside: Int,
    offset: UInt32, found: UnsafeMutablePointer<Key>, positions: UnsafeMutablePointer<UInt32>
  ) {
    // First the words of eight weights that have any, without a branch that the data decides. The
    // list of them lies where the positions go: those are filled in from behind, and there are no
    // fewer of them than of words, so no word is overwritten before it is read.
    let words = count >> 3
    var listed = 0
    var word = 0
    while word < words {
      unsafe positions[listed] = UInt32(truncatingIfNeeded: word)
      let marks = unsafe marks(mask, word)
      listed &+= marks == 0 ? 0 : 1
      word &+= 1
    }
    var next = inside
    func note(_ i: Int) {
      next &-= 1
      unsafe found[next] = keys[i]
      unsafe positions[next] = offset &+ UInt32(truncatingIfNeeded: i)
      unsafe mask[i] = 0
    }
    for i in ((words << 3)..<count).reversed() where unsafe mask[i] == undecided { note(i) }
    while listed > 0 {
      listed &-= 1
      let word = Int(truncatingIfNeeded: unsafe positions[listed])
      var marks = unsafe marks(mask, word)
      while marks != 0 {
        let bit = 63 &- marks.leadingZeroBitCount
        note(word << 3 | bit >> 3)
        marks &= ~(1 &<< UInt64(truncatingIfNeeded: bit))
      }
    }
  }

  /// A bit for each undecided weight among eight.
  @inline(__always)
  private static func marks(_ mask: UnsafePointer<UInt8>, _ word: Int) -> UInt64 {
    let bytes = unsafe UnsafeRawPointer(mask + word << 3).loadUnaligned(as: UInt64.self)
    return UInt64(littleEndian: bytes) & 0x0202_0202_0202_0202
  }

  /// Writes a mask: 1 where the key is above `threshold`, and at the first `quota` keys equal to it.
  ///
  /// - Parameter quota: lowered by those kept here.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func decide(
    _ keys: UnsafePointer<Key>, count: Int, threshold: Key, quota: inout Int,
    into mask: UnsafeMutablePointer<UInt8>
  ) {
    let ties = unsafe occurrences(of: threshold, in: keys, count: count)
    guard ties > quota else {
      quota -= ties
      for i in 0..<count { unsafe mask[i] = keys[i] >= threshold ? 1 : 0 }
      return
    }
    for i in 0..<count {
      let key = unsafe keys[i]
      var keeps = key > threshold
      if key == threshold && quota > 0 {
        keeps = true
        quota -= 1
      }
      unsafe mask[i] = keeps ? 1 : 0
    }
  }

  // Over masks alone, and over weights as bits: the type of scores takes no part.

  /// How many weights a mask keeps.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func kept(_ mask: UnsafePointer<UInt8>, count: Int) -> Int {
    var total = 0
    for i in 0..<count {
      total &+= unsafe mask[i] == 0 ? 0 : 1
    }
    return total
  }

  /// How many weights `previous` keeps; how many of them `mask` does not; and how many `mask` keeps
  /// that `previous` does not.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func changes(
    from previous: UnsafePointer<UInt8>, to mask: UnsafePointer<UInt8>, count: Int
  ) -> (before: Int, removed: Int, revived: Int) {
    var total = (before: 0, removed: 0, revived: 0)
    var start = 0
    while start < count {
      // Short enough that a byte holds each count: the loop then runs in vectors of bytes.
      let end = min(count, start + 255)
      var before: UInt8 = 0
      var removed: UInt8 = 0
      var revived: UInt8 = 0
      for i in start..<end {
        let was: UInt8 = unsafe previous[i] == 0 ? 0 : 1
        let isKept: UInt8 = unsafe mask[i] == 0 ? 0 : 1
        before &+= was
        removed &+= was & ~isKept
        revived &+= isKept & ~was
      }
      total.before += Int(before)
      total.removed += Int(removed)
      total.revived += Int(revived)
      start = end
    }
    return total
  }

  /// Writes each weight where the mask keeps it and 0 elsewhere: a choice, never a product, so
  /// that nothing is left of a removed weight.
  ///
  /// - Parameters:
  ///   - before: nil, or the mask that `masked` shows already: where both agree for 64 weights in
  ///     a row, nothing is written.
  ///   - size: bytes of one weight: 2, 4 or 8.
  ///   - start: where the block begins in `weights` and `masked`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func apply(
    _ mask: UnsafePointer<UInt8>, unlessEqualTo before: UnsafePointer<UInt8>?,
    to weights: UnsafeRawPointer, size: Int, start: Int, count: Int,
    into masked: UnsafeMutableRawPointer
  ) {
    switch size {
    case 2: unsafe apply(mask, before, weights, masked, start, count, as: UInt16.self)
    case 4: unsafe apply(mask, before, weights, masked, start, count, as: UInt32.self)
    default: unsafe apply(mask, before, weights, masked, start, count, as: UInt64.self)
    }
  }

  @inline(__always)
  private static func apply<Bits: FixedWidthInteger>(
    _ mask: UnsafePointer<UInt8>, _ before: UnsafePointer<UInt8>?, _ weights: UnsafeRawPointer,
    _ masked: UnsafeMutableRawPointer, _ start: Int, _ count: Int, as: Bits.Type
  ) {
    let source = unsafe weights.assumingMemoryBound(to: Bits.self) + start
    let target = unsafe masked.assumingMemoryBound(to: Bits.self) + start
    guard let before = unsafe before else {
      unsafe choose(mask, source, target, 0..<count)
      return
    }
    var next = 0
    while next < count {
      let end = min(count, next + 64)
      if unsafe differ(mask, before, next..<end) {
        unsafe choose(mask, source, target, next..<end)
      }
      next = end
    }
  }

  @inline(__always)
  private static func choose<Bits: FixedWidthInteger>(
    _ mask: UnsafePointer<UInt8>, _ source: UnsafePointer<Bits>,
    _ target: UnsafeMutablePointer<Bits>, _ range: Range<Int>
  ) {
    for i in range {
      // All ones where the weight is kept.
      let kept: Bits = unsafe mask[i] == 0 ? 0 : ~0
      unsafe target[i] = source[i] & kept
    }
  }

  @inline(__always)
  private static func differ(
    _ mask: UnsafePointer<UInt8>, _ before: UnsafePointer<UInt8>, _ range: Range<Int>
  ) -> Bool {
    var difference: UInt8 = 0
    for i in range {
      unsafe difference |= mask[i] ^ before[i]
    }
    return difference != 0
  }
}
