// Writing a block of a mask, and of what follows from it. What must not live here: where a threshold
// or a bracket comes from.

extension Blocks {
  /// Lists the undecided weights of a block, in order, and marks them as removed for now.
  ///
  /// - Parameters:
  ///   - inside: how many there are.
  ///   - offset: added to each position.
  ///   - found, positions: room for all of them, and in `positions` for one more.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func collect(
    _ keys: UnsafePointer<Key>, _ mask: UnsafeMutablePointer<UInt8>, count: Int, inside: Int,
    offset: UInt32, found: UnsafeMutablePointer<Key>, positions: UnsafeMutablePointer<UInt32>
  ) {
    // First the words of eight weights that have any, without a branch that the data decides. The
    // list of them lies where the positions go: those are filled in from behind, and there are no
    // fewer of them than of words, so no word is overwritten before it is read. Most runs of eight
    // words have none.
    let words = count >> 3
    var listed = 0
    var word = 0
    while word < words {
      if word &+ 8 <= words, unsafe !hasMarks(mask + word << 3) {
        word &+= 8
        continue
      }
      let end = min(words, word &+ 8)
      while word < end {
        unsafe positions[listed] = UInt32(truncatingIfNeeded: word)
        let marks = unsafe marks(mask, word)
        listed &+= marks == 0 ? 0 : 1
        word &+= 1
      }
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

  /// Whether any of 64 weights is undecided.
  @inline(__always)
  private static func hasMarks(_ mask: UnsafePointer<UInt8>) -> Bool {
    let marks = unsafe bytes(mask) & 0x0202_0202_0202_0202
    let half = marks.lowHalf | marks.highHalf
    let quarter = half.lowHalf | half.highHalf
    return quarter.x | quarter.y != 0
  }

  /// A bit for each undecided weight among eight.
  @inline(__always)
  private static func marks(_ mask: UnsafePointer<UInt8>, _ word: Int) -> UInt64 {
    unsafe UInt64(littleEndian: self.word(mask + word << 3)) & 0x0202_0202_0202_0202
  }

  // Over masks alone, and over weights as bits: the type of scores takes no part.

  /// Keeps the first `quota` undecided weights of a block, and removes the others.
  ///
  /// - Parameter quota: lowered by those kept here.
  /// - Returns: how many were undecided, and how many of them are kept.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func resolve(
    _ mask: UnsafeMutablePointer<UInt8>, count: Int, keeping quota: inout Int
  ) -> (undecided: Int, kept: Int) {
    let undecided = unsafe marked(mask, count)
    if undecided <= quota {
      // 2 and 1 become 1.
      for i in 0..<count { unsafe mask[i] = (mask[i] | mask[i] &>> 1) & 1 }
      quota -= undecided
      return (undecided, undecided)
    }
    var left = quota
    for i in 0..<count {
      let mark = unsafe mask[i]
      let keeps = mark == self.undecided && left > 0
      left &-= keeps ? 1 : 0
      unsafe mask[i] = keeps ? 1 : mark & 1
    }
    defer { quota = left }
    return (undecided, quota - left)
  }

  /// How many weights of a block are undecided.
  @inline(__always)
  private static func marked(_ mask: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var total = 0
    for i in 0..<count { total &+= unsafe Int(mask[i] &>> 1) }
    return total
  }

  /// How many weights a mask keeps; any byte but 0 counts as one.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func kept(_ mask: UnsafePointer<UInt8>, count: Int) -> Int {
    var total = 0
    var start = 0
    // A byte counts up to 255.
    while start < count & ~63 {
      let end = min(count & ~63, start &+ 255 &* 64)
      var kept = SIMD8<UInt64>.zero
      while start < end {
        unsafe kept &+= ones(mask + start)
        start &+= 64
      }
      total &+= sum(kept)
    }
    while start < count {
      total &+= unsafe mask[start] == 0 ? 0 : 1
      start &+= 1
    }
    return total
  }

  /// How many weights that `previous` keeps `mask` does not, and how many `mask` keeps that
  /// `previous` does not. `mask` holds 0 and 1.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func changes(
    from previous: UnsafePointer<UInt8>, to mask: UnsafePointer<UInt8>, count: Int
  ) -> (removed: Int, revived: Int) {
    var total = (removed: 0, revived: 0)
    var start = 0
    // A byte counts up to 255.
    while start < count & ~63 {
      let end = min(count & ~63, start &+ 255 &* 64)
      var removed = SIMD8<UInt64>.zero
      var revived = SIMD8<UInt64>.zero
      while start < end {
        let (was, isKept) = unsafe (ones(previous + start), bytes(mask + start))
        removed &+= was & ~isKept
        revived &+= isKept & ~was
        start &+= 64
      }
      total.removed &+= sum(removed)
      total.revived &+= sum(revived)
    }
    while start < count {
      let (was, isKept) = unsafe (previous[start] == 0 ? 0 : 1, Int(mask[start]))
      total.removed &+= was & ~isKept
      total.revived &+= isKept & ~was
      start &+= 1
    }
    return total
  }

  @inline(__always)
  private static func bytes(_ mask: UnsafePointer<UInt8>) -> SIMD8<UInt64> {
    unsafe UnsafeRawPointer(mask).loadUnaligned(as: SIMD8<UInt64>.self)
  }

  /// 1 for each of 64 bytes that is not 0.
  @inline(__always)
  private static func ones(_ mask: UnsafePointer<UInt8>) -> SIMD8<UInt64> {
    let marks = unsafe bytes(mask)
    // The top bit of each byte that is not 0: it is there, or a carry puts it there.
    let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
    return ((((marks & low) &+ low) | marks) & ~low) &>> 7
  }

  /// The sum of 64 bytes.
  @inline(__always)
  private static func sum(_ bytes: SIMD8<UInt64>) -> Int {
    let even: UInt64 = 0x00FF_00FF_00FF_00FF
    // Sixteen counts of up to 255 fit into 16 bits.
    let pairs = ((bytes & even) &+ ((bytes &>> 8) & even)).wrappedSum()
    return Int(truncatingIfNeeded: (pairs &* 0x0001_0001_0001_0001) &>> 48)
  }

  /// Writes each weight where the mask keeps it and 0 elsewhere: a choice, never a product, so
  /// that nothing is left of a removed weight.
  ///
  /// - Parameters:
  ///   - before: nil, or the mask that `masked` shows already: where both agree for eight weights
  ///     in a row, nothing is written.
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
    var next = 0
    if let before = unsafe before {
      while next < count & ~7 {
        if unsafe word(mask + next) != word(before + next) {
          unsafe choose(mask, source, target, next..<(next &+ 8))
        }
        next &+= 8
      }
    }
    unsafe choose(mask, source, target, next..<count)
  }

  /// Copies elements of 2, 4 or 8 bytes to the same positions elsewhere.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func copy(
    _ positions: [Int], from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer,
    size: Int
  ) {
    switch size {
    case 2: unsafe copy(positions, source, target, as: UInt16.self)
    case 4: unsafe copy(positions, source, target, as: UInt32.self)
    default: unsafe copy(positions, source, target, as: UInt64.self)
    }
  }

  @inline(__always)
  private static func copy<Bits: FixedWidthInteger>(
    _ positions: [Int], _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer,
    as: Bits.Type
  ) {
    let source = unsafe source.assumingMemoryBound(to: Bits.self)
    let target = unsafe target.assumingMemoryBound(to: Bits.self)
    for i in positions { unsafe target[i] = source[i] }
  }

  /// Eight bytes of a mask.
  @inline(__always)
  private static func word(_ mask: UnsafePointer<UInt8>) -> UInt64 {
    unsafe UnsafeRawPointer(mask).loadUnaligned(as: UInt64.self)
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
}
