// Where the classifying loop takes keys and gradients from: keys in memory, or products of weights and
// gradients of one element type, which are widened in registers. What must not live here: the loop
// (Classification).

import CPlatform

/// The keys and gradients of eight weights.
typealias Eight<Score: VectorScore> = (keys: Score.Keys, gradients: SIMD8<Score>)

/// Keys and gradients of a block.
protocol KeySource {
  associatedtype Score: VectorScore
  /// Whether there are gradients; they are zeros otherwise.
  static var hasGradients: Bool { get }
  /// Whether scores may be negative.
  static var areSigned: Bool { get }
  /// Sixteen weights from a position on, in an order of the source's own.
  func sixteen(at i: Int) -> (first: Eight<Score>, second: Eight<Score>)
  /// The same once more, for sums alone: keys and gradients may be in different orders.
  func again(at i: Int) -> (first: Eight<Score>, second: Eight<Score>)
  /// The lowest bytes of what was merged, in the order of the weights; see `VectorScore.merged`.
  static func bytes(_ merged: SIMD16<UInt16>) -> SIMD16<UInt8>
  /// One key and its gradient.
  func one(at i: Int) -> (key: Score.Key, gradient: Score)
}

extension KeySource {
  @inline(__always)
  static func bytes(_ merged: SIMD16<UInt16>) -> SIMD16<UInt8> { platform_unmerged_bytes(merged) }

  @inline(__always)
  func again(at i: Int) -> (first: Eight<Score>, second: Eight<Score>) { sixteen(at: i) }
}

/// Loads eight elements, which the compiler keeps in vector registers of any width.
@inline(__always)
func load8<Element: SIMDScalar>(_ start: UnsafePointer<Element>, _ i: Int) -> SIMD8<Element> {
  unsafe UnsafeRawPointer(start + i).loadUnaligned(as: SIMD8<Element>.self)
}

/// Keys in memory, of scores that are not negative.
@safe struct StoredKeys<Score: VectorScore>: KeySource {
  let keys: UnsafePointer<Score.Key>

  static var hasGradients: Bool { false }
  static var areSigned: Bool { false }

  @inline(__always)
  func sixteen(at i: Int) -> (first: Eight<Score>, second: Eight<Score>) {
    unsafe ((load8(keys, i), .zero), (load8(keys, i &+ 8), .zero))
  }

  @inline(__always)
  func one(at i: Int) -> (key: Score.Key, gradient: Score) { unsafe (keys[i], 0) }
}

/// Keys in memory, of scores of either sign.
@safe struct SignedKeys<Score: VectorScore>: KeySource {
  let keys: UnsafePointer<Score.Key>

  static var hasGradients: Bool { false }
  static var areSigned: Bool { true }

  @inline(__always)
  func sixteen(at i: Int) -> (first: Eight<Score>, second: Eight<Score>) {
    unsafe ((load8(keys, i), .zero), (load8(keys, i &+ 8), .zero))
  }

  @inline(__always)
  func one(at i: Int) -> (key: Score.Key, gradient: Score) { unsafe (keys[i], 0) }
}

/// Keys in memory, of scores that are not negative, and gradients.
@safe struct KeysWithGradients<Score: VectorScore>: KeySource {
  let keys: UnsafePointer<Score.Key>
  let gradients: UnsafePointer<Score>

  static var hasGradients: Bool { true }
  static var areSigned: Bool { false }

  @inline(__always)
  func sixteen(at i: Int) -> (first: Eight<Score>, second: Eight<Score>) {
    unsafe ((load8(keys, i), load8(gradients, i)), (load8(keys, i &+ 8), load8(gradients, i &+ 8)))
  }

  @inline(__always)
  func one(at i: Int) -> (key: Score.Key, gradient: Score) { unsafe (keys[i], gradients[i]) }
}

/// The keys of `abs(w * g)`, which are also written.
@safe struct Products<Stored: StoredElement>: KeySource {
  typealias Score = Stored.Score

  let weights: UnsafePointer<Stored.Bits>
  let gradients: UnsafePointer<Stored.Bits>
  let keys: UnsafeMutablePointer<Score.Key>

  static var hasGradients: Bool { true }
  static var areSigned: Bool { false }

  /// - Parameters:
  ///   - weights, gradients: where the block begins in each array.
  init(
    of _: Stored.Type, _ weights: UnsafeRawPointer, _ gradients: UnsafeRawPointer,
    _ keys: UnsafeMutablePointer<Score.Key>
  ) {
    unsafe self.weights = weights.assumingMemoryBound(to: Stored.Bits.self)
    unsafe self.gradients = gradients.assumingMemoryBound(to: Stored.Bits.self)
    unsafe self.keys = keys
  }

  @inline(__always)
  func sixteen(at i: Int) -> (first: Eight<Score>, second: Eight<Score>) {
    let gradients = unsafe Stored.widened(gradients, i)
    let weights = unsafe Stored.widened(weights, i)
    let first = Score.products(weights.0, gradients.0)
    let second = Score.products(weights.1, gradients.1)
    let inOrder = Stored.inOrder(first, second)
    unsafe UnsafeMutableRawPointer(keys + i).storeBytes(of: inOrder.0, as: Score.Keys.self)
    unsafe UnsafeMutableRawPointer(keys + i + 8).storeBytes(of: inOrder.1, as: Score.Keys.self)
    return ((first, gradients.0), (second, gradients.1))
  }

  /// With the keys that were written: the arrays are the caller's, and may have changed.
  @inline(__always)
  func again(at i: Int) -> (first: Eight<Score>, second: Eight<Score>) {
    let gradients = unsafe Stored.widened(gradients, i)
    let keys = unsafe UnsafePointer(keys)
    return unsafe ((load8(keys, i), gradients.0), (load8(keys, i &+ 8), gradients.1))
  }

  @inline(__always)
  static func bytes(_ merged: SIMD16<UInt16>) -> SIMD16<UInt8> { Stored.bytes(merged) }

  @inline(__always)
  func one(at i: Int) -> (key: Score.Key, gradient: Score) {
    let gradient = unsafe Stored.widened(gradients[i])
    let key = unsafe Score.magnitudeKey(of: Stored.widened(weights[i]) * gradient)
    unsafe keys[i] = key
    return (key, gradient)
  }

  /// Computes, writes and classifies the keys.
  func classifyProducts(
    _ count: Int, _ bracket: (low: Score.Key, high: Score.Key), _ prefetch: PrefetchAddresses,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics {
    var statistics = unsafe classify(count, bracket, prefetch, into: mask)
    // If one of them is not finite, neither is their sum, since none is negative.
    statistics.isFinite = statistics.scores.isFinite
    return statistics
  }
}

/// An element type of arrays, and its exact conversion to a type of scores.
protocol StoredElement {
  associatedtype Score: VectorScore
  associatedtype Bits: SIMDScalar

  /// The values of sixteen elements from a position on, in an order of the type's own.
  static func widened(_ start: UnsafePointer<Bits>, _ i: Int) -> (SIMD8<Score>, SIMD8<Score>)
  /// Keys in the order of the elements.
  static func inOrder(_ first: Score.Keys, _ second: Score.Keys) -> (Score.Keys, Score.Keys)
  /// The lowest bytes of what was merged, in the order of the elements.
  static func bytes(_ merged: SIMD16<UInt16>) -> SIMD16<UInt8>
  /// The value of one element.
  static func widened(_ bits: Bits) -> Score
}

extension StoredElement {
  @inline(__always)
  static func inOrder(_ first: Score.Keys, _ second: Score.Keys) -> (Score.Keys, Score.Keys) {
    (first, second)
  }
  @inline(__always)
  static func bytes(_ merged: SIMD16<UInt16>) -> SIMD16<UInt8> { platform_unmerged_bytes(merged) }
}

/// The type of the scores itself.
enum Unchanged<Score: VectorScore>: StoredElement {
  @inline(__always)
  static func widened(_ start: UnsafePointer<Score>, _ i: Int) -> (SIMD8<Score>, SIMD8<Score>) {
    unsafe (load8(start, i), load8(start, i &+ 8))
  }
  @inline(__always)
  static func widened(_ value: Score) -> Score { value }
}

/// IEEE binary16.
enum Binary16: StoredElement {
  @inline(__always)
  static func widened(_ start: UnsafePointer<UInt16>, _ i: Int) -> (SIMD8<Float>, SIMD8<Float>) {
    unsafe (
      platform_widened_float16(load8(start, i)), platform_widened_float16(load8(start, i &+ 8))
    )
  }
  @inline(__always)
  static func widened(_ bits: UInt16) -> Float { widenedFloat16(bits) }
}

/// bfloat16. The first and third quarter of sixteen elements are one vector, the second and fourth
/// the other.
enum BFloat16: StoredElement {
  @inline(__always)
  static func widened(_ start: UnsafePointer<UInt16>, _ i: Int) -> (SIMD8<Float>, SIMD8<Float>) {
    let bits = unsafe UnsafeRawPointer(start + i).loadUnaligned(as: SIMD16<UInt16>.self)
    return (platform_widened_odd_quarters(bits), platform_widened_even_quarters(bits))
  }
  @inline(__always)
  static func inOrder(
    _ first: SIMD8<Int32>, _ second: SIMD8<Int32>
  ) -> (SIMD8<Int32>, SIMD8<Int32>) {
    (platform_first_half(first, second), platform_second_half(first, second))
  }
  @inline(__always)
  static func bytes(_ merged: SIMD16<UInt16>) -> SIMD16<UInt8> {
    platform_unmerged_quarter_bytes(merged)
  }
  @inline(__always)
  static func widened(_ bits: UInt16) -> Float { widenedBFloat16(bits) }
}
