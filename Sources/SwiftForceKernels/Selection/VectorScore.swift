// The operations of each type of scores on eight keys at a time, and loops in vector types other than
// the classifying one. Vector types compile to good code only for a known element type and up to
// eight elements, so each type of scores does its own comparisons and conversions. What must not live
// here: loops that the compiler vectorises itself (Blocks).

import CPlatform

/// The operations on eight keys or scores at a time.
protocol VectorScore: KeyedScore {
  typealias Keys = SIMD8<Key>

  /// -1 (all bits set, as a vector comparison returns it) if a key is above the limit, else 0.
  static func marks(_ keys: Keys, above limit: Keys) -> Keys
  /// -1 if two keys are equal, else 0.
  static func marks(_ keys: Keys, equalTo other: Keys) -> Keys
  /// The keys above the limit, and 0 in place of the others.
  static func kept(_ keys: Keys, above limit: Keys) -> Keys
  /// The bit patterns of the scores of keys of either sign; a key that is not negative is its own
  /// bit pattern.
  static func scoreBits(_ keys: Keys) -> Keys
  /// The numbers with these bit patterns.
  static func numbers(_ bits: Keys) -> SIMD8<Self>
  /// The numbers in binary64.
  static func wide(_ values: SIMD8<Self>) -> SIMD8<Double>
  /// The keys of `abs(lhs * rhs)`.
  static func products(_ lhs: SIMD8<Self>, _ rhs: SIMD8<Self>) -> Keys
  /// Marks of eight keys in turn with those of another eight.
  static func merged(_ first: Keys, _ second: Keys) -> SIMD16<UInt16>
  /// The larger key of each pair.
  static func larger(_ lhs: Keys, _ rhs: Keys) -> Keys
  /// Bytes as wide as keys.
  static func widened(_ bytes: SIMD8<UInt8>) -> Keys
  /// The lowest byte of each key.
  static func bytes(_ keys: Keys) -> SIMD8<UInt8>
}

extension Float: VectorScore {
  @inline(__always)
  static func marks(_ keys: SIMD8<Int32>, above limit: SIMD8<Int32>) -> SIMD8<Int32> {
    .zero.replacing(with: -1, where: keys .> limit)
  }
  @inline(__always)
  static func marks(_ keys: SIMD8<Int32>, equalTo other: SIMD8<Int32>) -> SIMD8<Int32> {
    .zero.replacing(with: -1, where: keys .== other)
  }
  @inline(__always)
  static func kept(_ keys: SIMD8<Int32>, above limit: SIMD8<Int32>) -> SIMD8<Int32> {
    keys.replacing(with: 0, where: keys .<= limit)
  }
  @inline(__always)
  static func scoreBits(_ keys: SIMD8<Int32>) -> SIMD8<Int32> {
    keys ^ ((keys &>> 31) & Int32.max)
  }
  @inline(__always)
  static func numbers(_ bits: SIMD8<Int32>) -> SIMD8<Float> {
    unsafe unsafeBitCast(bits, to: SIMD8<Float>.self)
  }
  @inline(__always)
  static func wide(_ values: SIMD8<Float>) -> SIMD8<Double> { SIMD8<Double>(values) }
  @inline(__always)
  static func products(_ lhs: SIMD8<Float>, _ rhs: SIMD8<Float>) -> SIMD8<Int32> {
    unsafe unsafeBitCast(lhs * rhs, to: SIMD8<Int32>.self) & Int32.max
  }
  @inline(__always)
  static func merged(_ first: SIMD8<Int32>, _ second: SIMD8<Int32>) -> SIMD16<UInt16> {
    platform_merged(first, second)
  }
  @inline(__always)
  static func larger(_ lhs: SIMD8<Int32>, _ rhs: SIMD8<Int32>) -> SIMD8<Int32> {
    lhs ^ ((lhs ^ rhs) & marks(rhs, above: lhs))
  }
  @inline(__always)
  static func widened(_ bytes: SIMD8<UInt8>) -> SIMD8<Int32> {
    platform_widened_bytes(bytes)
  }
  @inline(__always)
  static func bytes(_ keys: SIMD8<Int32>) -> SIMD8<UInt8> { SIMD8(truncatingIfNeeded: keys) }

  @unsafe public static func classify(
    _ keys: UnsafePointer<Int32>, gradients: UnsafePointer<Float>?, count: Int, areSigned: Bool,
    low: Int32, high: Int32, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    if let gradients = unsafe gradients {
      return unsafe KeysWithGradients(keys: keys, gradients: gradients)
        .classify(count, (low, high), prefetch, into: mask)
    }
    return areSigned
      ? unsafe SignedKeys<Float>(keys: keys).classify(count, (low, high), prefetch, into: mask)
      : unsafe StoredKeys<Float>(keys: keys).classify(count, (low, high), prefetch, into: mask)
  }

  @unsafe public static func classifyProducts(
    _ weights: UnsafeRawPointer, _ gradients: UnsafeRawPointer, code: Int, count: Int, low: Int32,
    high: Int32, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Int32>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    switch code {
    case ElementCode.float16:
      unsafe Products(of: Binary16.self, weights, gradients, keys)
        .classifyProducts(count, (low, high), prefetch, into: mask)
    case ElementCode.bfloat16:
      unsafe Products(of: BFloat16.self, weights, gradients, keys)
        .classifyProducts(count, (low, high), prefetch, into: mask)
    default:
      unsafe Products(of: Unchanged<Float>.self, weights, gradients, keys)
        .classifyProducts(count, (low, high), prefetch, into: mask)
    }
  }

  @unsafe public static func atLeast(
    _ key: Int32, _ keys: UnsafePointer<Int32>, count: Int
  ) -> Int {
    unsafe numberAbove(key &- 1, keys, count)
  }

  @unsafe public static func keptSum(
    _ keys: UnsafePointer<Int32>, _ mask: UnsafePointer<UInt8>, count: Int
  ) -> Double {
    unsafe sumOfKept(keys, mask, count)
  }

  @unsafe public static func rankFours(
    _ keys: UnsafePointer<Int32>, count: Int, into ranks: UnsafeMutablePointer<UInt8>
  ) -> Int {
    unsafe rankEightFours(keys, count, ranks)
  }
}

extension Double: VectorScore {
  @inline(__always)
  static func marks(_ keys: SIMD8<Int64>, above limit: SIMD8<Int64>) -> SIMD8<Int64> {
    .zero.replacing(with: -1, where: keys .> limit)
  }
  @inline(__always)
  static func marks(_ keys: SIMD8<Int64>, equalTo other: SIMD8<Int64>) -> SIMD8<Int64> {
    .zero.replacing(with: -1, where: keys .== other)
  }
  @inline(__always)
  static func kept(_ keys: SIMD8<Int64>, above limit: SIMD8<Int64>) -> SIMD8<Int64> {
    keys.replacing(with: 0, where: keys .<= limit)
  }
  @inline(__always)
  static func scoreBits(_ keys: SIMD8<Int64>) -> SIMD8<Int64> {
    keys ^ ((keys &>> 63) & Int64.max)
  }
  @inline(__always)
  static func numbers(_ bits: SIMD8<Int64>) -> SIMD8<Double> {
    unsafe unsafeBitCast(bits, to: SIMD8<Double>.self)
  }
  @inline(__always)
  static func wide(_ values: SIMD8<Double>) -> SIMD8<Double> { values }
  @inline(__always)
  static func products(_ lhs: SIMD8<Double>, _ rhs: SIMD8<Double>) -> SIMD8<Int64> {
    unsafe unsafeBitCast(lhs * rhs, to: SIMD8<Int64>.self) & Int64.max
  }
  @inline(__always)
  static func merged(_ first: SIMD8<Int64>, _ second: SIMD8<Int64>) -> SIMD16<UInt16> {
    platform_merged(SIMD8(truncatingIfNeeded: first), SIMD8(truncatingIfNeeded: second))
  }
  @inline(__always)
  static func larger(_ lhs: SIMD8<Int64>, _ rhs: SIMD8<Int64>) -> SIMD8<Int64> {
    lhs ^ ((lhs ^ rhs) & marks(rhs, above: lhs))
  }
  @inline(__always)
  static func widened(_ bytes: SIMD8<UInt8>) -> SIMD8<Int64> {
    SIMD8(truncatingIfNeeded: platform_widened_bytes(bytes))
  }
  @inline(__always)
  static func bytes(_ keys: SIMD8<Int64>) -> SIMD8<UInt8> { SIMD8(truncatingIfNeeded: keys) }

  @unsafe public static func classify(
    _ keys: UnsafePointer<Int64>, gradients: UnsafePointer<Double>?, count: Int, areSigned: Bool,
    low: Int64, high: Int64, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    if let gradients = unsafe gradients {
      return unsafe KeysWithGradients(keys: keys, gradients: gradients)
        .classify(count, (low, high), prefetch, into: mask)
    }
    return areSigned
      ? unsafe SignedKeys<Double>(keys: keys).classify(count, (low, high), prefetch, into: mask)
      : unsafe StoredKeys<Double>(keys: keys).classify(count, (low, high), prefetch, into: mask)
  }

  @unsafe public static func classifyProducts(
    _ weights: UnsafeRawPointer, _ gradients: UnsafeRawPointer, code: Int, count: Int, low: Int64,
    high: Int64, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Int64>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe Products(of: Unchanged<Double>.self, weights, gradients, keys)
      .classifyProducts(count, (low, high), prefetch, into: mask)
  }

  @unsafe public static func atLeast(
    _ key: Int64, _ keys: UnsafePointer<Int64>, count: Int
  ) -> Int {
    unsafe numberAbove(key &- 1, keys, count)
  }

  @unsafe public static func keptSum(
    _ keys: UnsafePointer<Int64>, _ mask: UnsafePointer<UInt8>, count: Int
  ) -> Double {
    unsafe sumOfKept(keys, mask, count)
  }

  @unsafe public static func rankFours(
    _ keys: UnsafePointer<Int64>, count: Int, into ranks: UnsafeMutablePointer<UInt8>
  ) -> Int {
    unsafe rankEightFours(keys, count, ranks)
  }
}

extension VectorScore {
  @inline(__always)
  fileprivate static func rankEightFours(
    _ keys: UnsafePointer<Key>, _ count: Int, _ ranks: UnsafeMutablePointer<UInt8>
  ) -> Int {
    let whole = count & ~31
    var start = 0
    while start < whole {
      let (first, second) = unsafe (load8(keys, start), load8(keys, start &+ 8))
      let (third, fourth) = unsafe (load8(keys, start &+ 16), load8(keys, start &+ 24))
      // The keys at one place of eight groups side by side.
      let low = SIMD16(lowHalf: first, highHalf: second)
      let high = SIMD16(lowHalf: third, highHalf: fourth)
      let even = SIMD16(lowHalf: low.evenHalf, highHalf: high.evenHalf)
      let odd = SIMD16(lowHalf: low.oddHalf, highHalf: high.oddHalf)
      let (a, c, b, d) = (even.evenHalf, even.oddHalf, odd.evenHalf, odd.oddHalf)
      // -1 where the later one is better; the earlier one is better otherwise.
      let (ab, ac, ad) = (marks(b, above: a), marks(c, above: a), marks(d, above: a))
      let (bc, bd, cd) = (marks(c, above: b), marks(d, above: b), marks(d, above: c))
      let rankOfA = bytes(.zero &- ab &- ac &- ad)
      let rankOfB = bytes(Keys(repeating: 1) &+ ab &- bc &- bd)
      let rankOfC = bytes(Keys(repeating: 2) &+ ac &+ bc &- cd)
      let rankOfD = bytes(Keys(repeating: 3) &+ ad &+ bd &+ cd)
      var (outer, inner) = (SIMD16<UInt8>(), SIMD16<UInt8>())
      (outer.evenHalf, outer.oddHalf) = (rankOfA, rankOfC)
      (inner.evenHalf, inner.oddHalf) = (rankOfB, rankOfD)
      var all = SIMD32<UInt8>()
      (all.evenHalf, all.oddHalf) = (outer, inner)
      unsafe UnsafeMutableRawPointer(ranks + start).storeBytes(of: all, as: SIMD32<UInt8>.self)
      start &+= 32
    }
    return whole
  }

  @inline(__always)
  fileprivate static func numberAbove(
    _ limit: Key, _ keys: UnsafePointer<Key>, _ count: Int
  ) -> Int {
    let limits = Keys(repeating: limit)
    var (even, odd) = (Keys.zero, Keys.zero)
    let whole = count & ~15
    var start = 0
    while start < whole {
      unsafe even &-= marks(load8(keys, start), above: limits)
      unsafe odd &-= marks(load8(keys, start &+ 8), above: limits)
      start &+= 16
    }
    var total = Int((even &+ odd).wrappedSum())
    while start < count {
      total &+= unsafe keys[start] > limit ? 1 : 0
      start &+= 1
    }
    return total
  }

  /// How many weights are added in the type of the scores before their sums are added in binary64:
  /// eight in each of eight lanes, so that a sum of numbers of one sign is off by less than one part
  /// in two million. Conversions would take as long as all the rest.
  @inline(__always)
  static var narrowRun: Int { 64 }

  @inline(__always)
  fileprivate static func sumOfKept(
    _ keys: UnsafePointer<Key>, _ mask: UnsafePointer<UInt8>, _ count: Int
  ) -> Double {
    var sums = SIMD8<Double>.zero
    let whole = count & ~7
    var start = 0
    while start < whole {
      let isRemoved = unsafe marks(widened(load8(mask, start)), equalTo: .zero)
      sums += wide(unsafe numbers(scoreBits(load8(keys, start) & ~isRemoved)))
      start &+= 8
    }
    var total = sums.sum()
    while start < count {
      total += unsafe mask[start] == 0 ? 0 : Double(score(of: keys[start]))
      start &+= 1
    }
    return total
  }
}
