// The loop of `Blocks.classify` in vector types. The compiler may not reorder a floating-point sum,
// so it cannot vectorise such a loop itself. The loop is generic in the source only: the compiler
// makes one for each source of keys, because vector types compile to good code only for a known
// element type and up to eight elements. What must not live here: where keys come from (KeySources),
// operations of one type of scores (VectorScore), and loops that the compiler vectorises itself
// (Blocks).

import CPlatform

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

/// How many of sixteen keys at a time have a property, from marks that were merged: at most 65,535
/// in each lane.
private struct MarkCount {
  private var counts = SIMD16<UInt16>.zero

  @inline(__always)
  mutating func add(_ marks: SIMD16<UInt16>) { counts &-= marks }

  @inline(__always)
  var total: Int {
    let pairs = unsafe unsafeBitCast(counts, to: SIMD8<UInt32>.self)
    return Int(
      ((pairs & SIMD8(repeating: 0xFFFF)) &+ (pairs &>> SIMD8(repeating: 16))).wrappedSum())
  }
}

extension KeySource {
  /// Classifies the keys; see `Blocks.classify`.
  ///
  /// - Parameters:
  ///   - count: at most 65,535.
  ///   - bracket: the ends of the bracket, both inclusive.
  func classify(
    _ count: Int, _ bracket: (low: Score.Key, high: Score.Key), _ prefetch: PrefetchAddresses,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    // A key is at least `low` if it is above `low - 1`. That key exists, because the key of a
    // weight that does not compete is smaller than any `low`.
    let below = Score.Keys(repeating: bracket.low &- 1)
    let high = Score.Keys(repeating: bracket.high)
    var (zeros, above, reached) = (MarkCount(), MarkCount(), MarkCount())
    var sums = Sums()
    let whole = count & ~15
    var start = 0
    while start < whole {
      unsafe Self.prefetchRun(prefetch, start)
      var (all, kept, squares) = (SIMD8<Score>.zero, SIMD8<Score>.zero, SIMD8<Score>.zero)
      let end = min(whole, start &+ Score.narrowRun)
      while start < end {
        let (first, second) = sixteen(at: start)
        let isAbove = Score.merged(
          Score.marks(first.keys, above: high), Score.marks(second.keys, above: high))
        let isReached = Score.merged(
          Score.marks(first.keys, above: below), Score.marks(second.keys, above: below))
        zeros.add(
          Score.merged(
            Score.marks(first.keys, equalTo: .zero), Score.marks(second.keys, equalTo: .zero)))
        above.add(isAbove)
        reached.add(isReached)
        // Above: 2 ^ 3 = 1. Inside: 2. Below: 0.
        let decided = Self.bytes(
          (isReached & SIMD16(repeating: 2)) ^ (isAbove & SIMD16(repeating: 3)))
        unsafe UnsafeMutableRawPointer(mask + start).storeBytes(of: decided, as: SIMD16<UInt8>.self)
        all += Score.numbers(Self.bits(first.keys))
        all += Score.numbers(Self.bits(second.keys))
        kept += Score.numbers(Self.bits(Score.kept(first.keys, above: high)))
        kept += Score.numbers(Self.bits(Score.kept(second.keys, above: high)))
        squares += first.gradients * first.gradients
        squares += second.gradients * second.gradients
        start &+= 16
      }
      sums.add(Score.wide(all), Score.wide(kept), Score.wide(squares))
    }
    if Score.self != Double.self, !sums.areInRange(Self.hasGradients) {
      sums = wideSums(whole, high)
    }
    let kept = above.total
    var statistics: BlockStatistics = (
      isFinite: true, zeros: zeros.total, above: kept, inside: reached.total - kept,
      scores: sums.all.sum(), saliency: sums.kept.sum(), squares: sums.squares.sum()
    )
    while start < count {
      let (key, gradient) = one(at: start)
      let score = key == .min ? 0 : Double(Score.score(of: key))
      let isAbove = key > bracket.high
      let isInside = key >= bracket.low && !isAbove
      statistics.zeros += key == 0 ? 1 : 0
      statistics.above += isAbove ? 1 : 0
      statistics.inside += isInside ? 1 : 0
      unsafe mask[start] = isAbove ? 1 : isInside ? 2 : 0
      statistics.scores += score
      statistics.saliency += isAbove ? score : 0
      statistics.squares += Double(gradient) * Double(gradient)
      start &+= 1
    }
    return statistics
  }

  /// Prefetches what belongs to a run of weights: each cache line once, because prefetching one
  /// twice costs time.
  @inline(__always)
  private static func prefetchRun(_ addresses: PrefetchAddresses, _ start: Int) {
    unsafe prefetchRun(addresses.first, addresses.firstSize, start)
    unsafe prefetchRun(addresses.second, addresses.secondSize, start)
  }

  @inline(__always)
  private static func prefetchRun(_ array: UnsafeRawPointer, _ size: Int, _ start: Int) {
    // A run has as many weights as a cache line has bytes, and an element 2, 4 or 8 bytes.
    let first = unsafe array + start &* size
    for line in 0..<2 { unsafe platform_prefetch(first + line &* 64) }
    if size < 4 { return }
    for line in 2..<4 { unsafe platform_prefetch(first + line &* 64) }
    if size < 8 { return }
    for line in 4..<8 { unsafe platform_prefetch(first + line &* 64) }
  }

  /// The sums in binary64 alone, of scores or squares that leave the range of their own type.
  @inline(__always)
  private func wideSums(_ whole: Int, _ high: Score.Keys) -> Sums {
    var sums = Sums()
    for start in stride(from: 0, to: whole, by: 16) {
      let (first, second) = again(at: start)
      add(first, high, to: &sums)
      add(second, high, to: &sums)
    }
    return sums
  }

  @inline(__always)
  private func add(_ eight: Eight<Score>, _ high: Score.Keys, to sums: inout Sums) {
    let gradients = Score.wide(eight.gradients)
    let kept = Score.kept(eight.keys, above: high)
    sums.add(
      Score.wide(Score.numbers(Self.bits(eight.keys))), Score.wide(Score.numbers(Self.bits(kept))),
      gradients * gradients)
  }

  /// The bit patterns of the scores of keys. The key of a weight that does not compete has the bits of
  /// -0, which changes no sum.
  @inline(__always)
  private static func bits(_ keys: Score.Keys) -> Score.Keys {
    // The smallest key has the bits of a NaN.
    areSigned
      ? Score.scoreBits(keys & ~Score.marks(keys, equalTo: Score.Keys(repeating: .min))) : keys
  }
}
