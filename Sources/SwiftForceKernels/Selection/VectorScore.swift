// The loop of `Blocks.classify` in vector types. The compiler may not reorder a floating-point sum,
// so it cannot vectorise such a loop itself. The loop is generic in the source only: each type of
// scores inlines it, because vector types compile to good code only for a known element type and up
// to eight elements. For the same reason each type does its own comparisons and conversions. What
// must not live here: loops that the compiler vectorises itself (Blocks).

import CPlatform

/// Loads eight elements, which the compiler keeps in vector registers of any width.
@inline(__always)
private func eight<Element: SIMDScalar>(
  _ start: UnsafePointer<Element>, _ i: Int
) -> SIMD8<Element> {
  unsafe UnsafeRawPointer(start + i).loadUnaligned(as: SIMD8<Element>.self)
}

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
  /// The larger key of each pair.
  static func larger(_ lhs: Keys, _ rhs: Keys) -> Keys
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
  static func larger(_ lhs: SIMD8<Int32>, _ rhs: SIMD8<Int32>) -> SIMD8<Int32> {
    lhs ^ ((lhs ^ rhs) & marks(rhs, above: lhs))
  }
  @inline(__always)
  static func bytes(_ keys: SIMD8<Int32>) -> SIMD8<UInt8> { SIMD8(truncatingIfNeeded: keys) }

  @unsafe public static func classify(
    _ keys: UnsafePointer<Int32>, gradients: UnsafePointer<Float>?, count: Int, areSigned: Bool,
    low: Int32, high: Int32, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe classifyKeys(keys, gradients, count, areSigned, (low, high), prefetch, mask)
  }

  @unsafe public static func classifyProducts(
    _ weights: UnsafePointer<Float>, _ gradients: UnsafePointer<Float>, count: Int, low: Int32,
    high: Int32, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Int32>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe classifyProductKeys(weights, gradients, count, (low, high), prefetch, keys, mask)
  }

  @unsafe public static func sum(_ values: UnsafePointer<Float>, count: Int) -> Double {
    unsafe sumOfEights(values, count)
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
  static func larger(_ lhs: SIMD8<Int64>, _ rhs: SIMD8<Int64>) -> SIMD8<Int64> {
    lhs ^ ((lhs ^ rhs) & marks(rhs, above: lhs))
  }
  @inline(__always)
  static func bytes(_ keys: SIMD8<Int64>) -> SIMD8<UInt8> { SIMD8(truncatingIfNeeded: keys) }

  @unsafe public static func classify(
    _ keys: UnsafePointer<Int64>, gradients: UnsafePointer<Double>?, count: Int, areSigned: Bool,
    low: Int64, high: Int64, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe classifyKeys(keys, gradients, count, areSigned, (low, high), prefetch, mask)
  }

  @unsafe public static func classifyProducts(
    _ weights: UnsafePointer<Double>, _ gradients: UnsafePointer<Double>, count: Int, low: Int64,
    high: Int64, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Int64>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    unsafe classifyProductKeys(weights, gradients, count, (low, high), prefetch, keys, mask)
  }

  @unsafe public static func sum(_ values: UnsafePointer<Double>, count: Int) -> Double {
    unsafe sumOfEights(values, count)
  }

  @unsafe public static func rankFours(
    _ keys: UnsafePointer<Int64>, count: Int, into ranks: UnsafeMutablePointer<UInt8>
  ) -> Int {
    unsafe rankEightFours(keys, count, ranks)
  }
}

/// Sums of the scores of a block, of those above a limit, and of squared gradients.
private struct Sums {
  var all = SIMD8<Double>.zero
  var kept = SIMD8<Double>.zero
  var squares = SIMD8<Double>.zero

  @inline(__always)
  mutating func add(_ all: SIMD8<Double>, _ kept: SIMD8<Double>, _ squares: SIMD8<Double>) {
    self.all += all
    self.kept += kept
    self.squares += squares
  }

  /// Whether sums in binary32 on the way were in its range: no number became infinite, and squares
  /// that became zero do not matter beside the others.
  @inline(__always)
  func areInRange(_ hasGradients: Bool) -> Bool {
    let squares = squares.sum()
    // Numbers of either sign may cancel in the one sum and not in the other.
    return all.sum().isFinite && kept.sum().isFinite
      && (!hasGradients || (squares >= 0x1p-80 && squares.isFinite))
  }
}

extension VectorScore {
  fileprivate typealias KeyRange = (low: Key, high: Key)

  /// Runs the loop for a block with or without gradients, and with scores of either sign or not.
  @inline(__always)
  fileprivate static func classifyKeys(
    _ keys: UnsafePointer<Key>, _ gradients: UnsafePointer<Self>?, _ count: Int, _ areSigned: Bool,
    _ bracket: KeyRange, _ prefetch: PrefetchAddresses, _ mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    let next = { i in unsafe eight(keys, i) }
    if let gradients = unsafe gradients {
      return unsafe loop(keys, next, gradients, count, bracket, prefetch, mask) { $0 }
    }
    return areSigned
      ? unsafe loop(keys, next, nil, count, bracket, prefetch, mask) {
        // The key of a weight that does not compete has the bits of a NaN.
        scoreBits($0 & ~marks($0, equalTo: Keys(repeating: .min)))
      }
      : unsafe loop(keys, next, nil, count, bracket, prefetch, mask) { $0 }
  }

  /// Runs the loop for a block whose keys it also computes.
  @inline(__always)
  fileprivate static func classifyProductKeys(
    _ weights: UnsafePointer<Self>, _ gradients: UnsafePointer<Self>, _ count: Int,
    _ bracket: KeyRange, _ prefetch: PrefetchAddresses, _ keys: UnsafeMutablePointer<Key>,
    _ mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    for i in count & ~7..<count {
      unsafe keys[i] = magnitudeKey(of: weights[i] * gradients[i])
    }
    let next = { i in
      let products = unsafe products(eight(weights, i), eight(gradients, i))
      unsafe UnsafeMutableRawPointer(keys + i).storeBytes(of: products, as: Keys.self)
      return products
    }
    var statistics = unsafe loop(keys, next, gradients, count, bracket, prefetch, mask) { $0 }
    // If one of them is not finite, neither is their sum, since none is negative.
    statistics.isFinite = statistics.scores.isFinite
    return statistics
  }

  /// - Parameters:
  ///   - next: returns the eight keys from a position on; called once for each eight keys.
  ///   - bits: returns the bit patterns of the scores of keys.
  @inline(__always)
  private static func loop(
    _ keys: UnsafePointer<Key>, _ next: (Int) -> Keys, _ gradients: UnsafePointer<Self>?,
    _ count: Int, _ bracket: KeyRange, _ prefetch: PrefetchAddresses,
    _ mask: UnsafeMutablePointer<UInt8>, _ bits: (Keys) -> Keys
  ) -> BlockStatistics {
    // A key is at least `low` if it is above `low - 1`. That key exists, because the key of a
    // weight that does not compete is smaller than any `low`.
    let below = Keys(repeating: bracket.low &- 1)
    let high = Keys(repeating: bracket.high)
    var (zeros, above, reached) = (Keys.zero, Keys.zero, Keys.zero)
    var sums = Sums()
    var (all, kept, squares) = (SIMD8<Self>.zero, SIMD8<Self>.zero, SIMD8<Self>.zero)
    let whole = count & ~7
    var start = 0
    while start < whole {
      // Once per 64 bytes of the widest elements: prefetching a cache line twice costs time.
      if MemoryLayout<Self>.size == 8 || start & 15 == 0 {
        unsafe platform_prefetch(prefetch.first + start &* prefetch.firstSize)
        unsafe platform_prefetch(prefetch.second + start &* prefetch.secondSize)
      }
      let eightKeys = next(start)
      let isAbove = marks(eightKeys, above: high)
      let isReached = marks(eightKeys, above: below)
      zeros &-= marks(eightKeys, equalTo: .zero)
      above &-= isAbove
      reached &-= isReached
      // Above: -1 + 2 = 1. Inside: 0 + 2 = 2. Below: 0.
      let decided = bytes(isAbove &- isReached &- isReached)
      unsafe UnsafeMutableRawPointer(mask + start).storeBytes(of: decided, as: SIMD8<UInt8>.self)
      // The key of a weight that does not compete has the bits of -0, which changes no sum.
      all += numbers(bits(eightKeys))
      kept += numbers(bits(self.kept(eightKeys, above: high)))
      if let gradients = unsafe gradients {
        let gradients = unsafe eight(gradients, start)
        squares += gradients * gradients
      }
      start &+= 8
      if start & (narrowRun &- 1) == 0 {
        sums.add(wide(all), wide(kept), wide(squares))
        (all, kept, squares) = (.zero, .zero, .zero)
      }
    }
    sums.add(wide(all), wide(kept), wide(squares))
    if Self.self != Double.self, unsafe !sums.areInRange(gradients != nil) {
      sums = unsafe wideSums(keys, gradients, whole, high, bits)
    }
    var statistics: BlockStatistics = (
      isFinite: true, zeros: sum(zeros), above: sum(above), inside: sum(reached &- above),
      scores: sums.all.sum(), saliency: sums.kept.sum(), squares: sums.squares.sum()
    )
    while start < count {
      let key = unsafe keys[start]
      let score = key == .min ? 0 : Double(score(of: key))
      let gradient = Double(unsafe gradients?[start] ?? 0)
      let isAbove = key > bracket.high
      let isInside = key >= bracket.low && !isAbove
      statistics.zeros += key == 0 ? 1 : 0
      statistics.above += isAbove ? 1 : 0
      statistics.inside += isInside ? 1 : 0
      unsafe mask[start] = isAbove ? 1 : isInside ? 2 : 0
      statistics.scores += score
      statistics.saliency += isAbove ? score : 0
      statistics.squares += gradient * gradient
      start &+= 1
    }
    return statistics
  }

  /// How many weights are added in the type of the scores before their sums are added in binary64:
  /// eight in each of eight lanes, so that a sum of numbers of one sign is off by less than one part
  /// in two million. Conversions would take as long as all the rest.
  @inline(__always)
  private static var narrowRun: Int { 64 }

  /// The sums in binary64 alone, of scores or squares that leave the range of their own type.
  @inline(__always)
  private static func wideSums(
    _ keys: UnsafePointer<Key>, _ gradients: UnsafePointer<Self>?, _ whole: Int, _ high: Keys,
    _ bits: (Keys) -> Keys
  ) -> Sums {
    var sums = Sums()
    for start in stride(from: 0, to: whole, by: 8) {
      let eightKeys = unsafe eight(keys, start)
      let wideGradients = wide(unsafe gradients.map { unsafe eight($0, start) } ?? .zero)
      sums.add(
        wide(numbers(bits(eightKeys))), wide(numbers(bits(kept(eightKeys, above: high)))),
        wideGradients * wideGradients)
    }
    return sums
  }

  @inline(__always)
  fileprivate static func rankEightFours(
    _ keys: UnsafePointer<Key>, _ count: Int, _ ranks: UnsafeMutablePointer<UInt8>
  ) -> Int {
    let whole = count & ~31
    var start = 0
    while start < whole {
      let (first, second) = unsafe (eight(keys, start), eight(keys, start &+ 8))
      let (third, fourth) = unsafe (eight(keys, start &+ 16), eight(keys, start &+ 24))
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
  fileprivate static func sumOfEights(_ values: UnsafePointer<Self>, _ count: Int) -> Double {
    var sums = SIMD8<Double>.zero
    let whole = count & ~7
    var start = 0
    while start < whole {
      sums += wide(unsafe eight(values, start))
      start &+= 8
    }
    var total = sums.sum()
    while start < count {
      total += Double(unsafe values[start])
      start &+= 1
    }
    return total
  }

  @inline(__always)
  private static func sum(_ counts: Keys) -> Int { Int(truncatingIfNeeded: counts.wrappedSum()) }
}
