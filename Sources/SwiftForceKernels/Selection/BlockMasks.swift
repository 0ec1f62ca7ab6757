// Loops over the mask of a block: listing and resolving undecided weights, counting, and writing
// the masked weights. What must not live here: where a threshold or a bracket comes from.

import CPlatform

extension Blocks {
  /// Lists the undecided weights of a block, in order, and marks them as removed for now.
  ///
  /// - Parameters:
  ///   - offset: added to each position.
  ///   - found: receives the keys; room for as many as are undecided.
  ///   - positions: receives the positions; likewise.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func collect(
    _ keys: UnsafePointer<Key>, _ mask: UnsafeMutablePointer<UInt8>, count: Int, offset: UInt32,
    found: UnsafeMutablePointer<Key>, positions: UnsafeMutablePointer<UInt32>
  ) {
    var next = 0
    func record(_ i: Int) {
      unsafe found[next] = keys[i]
      unsafe positions[next] = offset &+ UInt32(truncatingIfNeeded: i)
      unsafe mask[i] = 0
      next &+= 1
    }
    let whole = count & ~63
    for start in stride(from: 0, to: whole, by: 64) {
      let marks = unsafe platform_bits_with(sixtyFour(mask + start), undecided)
      forEachBit(marks) { record(start &+ $0) }
    }
    for i in whole..<count where unsafe mask[i] == undecided { record(i) }
  }

  @inline(__always)
  private static func sixtyFour(_ mask: UnsafePointer<UInt8>) -> SIMD64<UInt8> {
    unsafe UnsafeRawPointer(mask).loadUnaligned(as: SIMD64<UInt8>.self)
  }

  /// Calls `body` with the position of each bit that is 1, from the lowest.
  @inline(__always)
  private static func forEachBit(_ bits: UInt64, _ body: (Int) -> Void) {
    var bits = bits
    while bits != 0 {
      body(bits.trailingZeroBitCount)
      bits &= bits &- 1
    }
  }

  // The loops below do not depend on the type of scores: they work on masks, and on weights as
  // bits.

  /// Keeps the first `quota` undecided weights of a block and removes the others.
  ///
  /// - Parameter quota: reduced by the number of weights kept in this block.
  /// - Returns: how many weights were undecided, and how many of them are kept.
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

  /// How many weights a mask keeps. Every byte other than 0 counts.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func kept(_ mask: UnsafePointer<UInt8>, count: Int) -> Int {
    var total = 0
    var start = 0
    // A byte can count up to 255.
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

  /// Counts the changes between two masks: weights that only `previous` keeps (removed), and
  /// weights that only `mask` keeps (revived). `mask` holds only 0 and 1.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func changes(
    from previous: UnsafePointer<UInt8>, to mask: UnsafePointer<UInt8>, count: Int
  ) -> (removed: Int, revived: Int) {
    var total = (removed: 0, revived: 0)
    var start = 0
    // A byte can count up to 255.
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
  static func bytes(_ mask: UnsafePointer<UInt8>) -> SIMD8<UInt64> {
    unsafe UnsafeRawPointer(mask).loadUnaligned(as: SIMD8<UInt64>.self)
  }

  /// Turns each of 64 bytes into 1 if it is not 0.
  @inline(__always)
  private static func ones(_ mask: UnsafePointer<UInt8>) -> SIMD8<UInt64> {
    let marks = unsafe bytes(mask)
    // The top bit of a byte that is not 0 is either set or is set by a carry out of the lower bits.
    let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
    return ((((marks & low) &+ low) | marks) & ~low) &>> 7
  }

  /// The sum of 64 bytes.
  @inline(__always)
  static func sum(_ bytes: SIMD8<UInt64>) -> Int {
    let even: UInt64 = 0x00FF_00FF_00FF_00FF
    // The sum of sixteen counts of up to 255 fits into 16 bits.
    let pairs = ((bytes & even) &+ ((bytes &>> 8) & even)).wrappedSum()
    return Int(truncatingIfNeeded: (pairs &* 0x0001_0001_0001_0001) &>> 48)
  }

  /// Writes the kept weights, and 0 for the removed ones. It selects and never multiplies, so no
  /// sign and no NaN is left of a removed weight.
  ///
  /// - Parameters:
  ///   - before: nil, or the mask that `masked` already shows: then only the weights for which
  ///     `mask` differs are written.
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
    let whole = count & ~63
    // Few cache lines are written, in no order that a CPU foresees. They are all prefetched before
    // the first one is waited for.
    for start in stride(from: 0, to: whole, by: 64) {
      forEachBit(unsafe differences(mask + start, before + start)) {
        unsafe platform_prefetch(target + (start &+ $0))
      }
    }
    for start in stride(from: 0, to: whole, by: 64) {
      forEachBit(unsafe differences(mask + start, before + start)) {
        unsafe choose(mask, source, target, (start &+ $0)..<(start &+ $0 &+ 1))
      }
    }
    unsafe choose(mask, source, target, whole..<count)
  }

  /// A bit for each of 64 weights: whether two masks differ.
  @inline(__always)
  private static func differences(
    _ mask: UnsafePointer<UInt8>, _ before: UnsafePointer<UInt8>
  ) -> UInt64 {
    unsafe platform_bits_that_differ(sixtyFour(mask), sixtyFour(before))
  }

  /// Copies the elements at some positions, of 2, 4 or 8 bytes each.
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
