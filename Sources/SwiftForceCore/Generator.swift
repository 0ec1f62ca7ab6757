// The one random number generator of the package: SplitMix64. Everything random (the random
// saliency, initial weights, the order of samples) comes from it and from a seed. What must not
// live here: global state.

/// SplitMix64: 64 random bits for each position of a sequence that a seed selects.
///
/// The n-th number depends on the seed and on n alone, so a sequence can be entered at any
/// position, and threads, chunks and machines that draw parts of it agree. It equals the published
/// generator with the initial state `seed`.
///
/// Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
public struct Generator: RandomNumberGenerator, Sendable {
  /// The step of the underlying Weyl sequence: 2^64 divided by the golden ratio, made odd.
  static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

  private var state: UInt64

  /// A generator at position 0 of the seed's sequence.
  public init(seed: UInt64) {
    state = seed
  }

  /// A generator for one of many purposes that share a seed. Each stream starts at a hashed state,
  /// so streams do not overlap in practice.
  public init(seed: UInt64, stream: UInt64) {
    state = Generator.mix(seed &+ Generator.mix(stream &+ Generator.increment))
  }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    state &+= Generator.increment
    return Generator.mix(state)
  }

  /// The number at `position`, counted from 0, in the sequence of `seed`.
  public static func number(at position: Int, seed: UInt64) -> UInt64 {
    mix(seed &+ (UInt64(truncatingIfNeeded: position) &+ 1) &* increment)
  }

  /// A hash of numbers.
  static func hash(_ numbers: [Int], seed: UInt64) -> UInt64 {
    numbers.reduce(seed) { hash, number in
      mix(hash ^ mix(UInt64(bitPattern: Int64(number))))
    }
  }

  /// The next number uniform in [0, 1), a multiple of 2^-53.
  public mutating func nextUniform() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

extension Generator {
  /// Writes the numbers 0 ..< n in a random order. It is the Fisher-Yates shuffle from the last
  /// position down; position i is swapped with the high word of `next() * (i + 1)`.
  ///
  /// - Complexity: O(n).
  @unsafe public mutating func permute(_ order: UnsafeMutableBufferPointer<Int64>) {
    for i in order.indices { unsafe order[i] = Int64(i) }
    for i in order.indices.dropFirst().reversed() {
      let j = Int(next().multipliedFullWidth(by: UInt64(i + 1)).high)
      unsafe order.swapAt(i, j)
    }
  }
}
