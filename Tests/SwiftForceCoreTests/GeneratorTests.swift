// The generator against published values of SplitMix64, and the shuffle that it drives.

import SwiftForceCore
import Testing

/// The random order of 0 ..< n from the code under test.
private func permutation(_ n: Int, seed: UInt64) -> [Int64] {
  let order = Memory<Int64>([Int64](repeating: -1, count: n), guardedBy: -9)
  var generator = Generator(seed: seed)
  unsafe generator.permute(UnsafeMutableBufferPointer(start: order.base, count: n))
  #expect(order.isIntact)
  return order.values
}

@Suite struct GeneratorTests {
  /// From the reference implementation by Sebastiano Vigna.
  static let published: [UInt64] = [
    6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
    4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
  ]

  @Test func publishedValues() {
    var generator = Generator(seed: 1_234_567)
    #expect(Self.published.map { _ in generator.next() } == Self.published)
  }

  @Test func numbersByPosition() {
    let numbers = Self.published.indices.map { Generator.number(at: $0, seed: 1_234_567) }
    #expect(numbers == Self.published)
  }

  @Test(arguments: [0, 1, 0x9E37_79B9_7F4A_7C15, .max] as [UInt64])
  func sequenceCanBeEnteredAnywhere(seed: UInt64) {
    var generator = Generator(seed: seed)
    for position in 0..<1000 {
      let next = generator.next()
      #expect(next == Generator.number(at: position, seed: seed))
      #expect(next == splitMix(seed, position: position))
    }
  }

  @Test func uniformIsTheUpper53Bits() {
    var generator = Generator(seed: 42)
    var bits = Generator(seed: 42)
    for _ in 0..<1000 {
      let uniform = generator.nextUniform()
      #expect(uniform == Double(bits.next() >> 11) / 9_007_199_254_740_992)
      #expect(uniform >= 0 && uniform < 1)
    }
  }

  @Test func streamsOfOneSeedDiffer() {
    var seen: Set<UInt64> = []
    for seed in 0..<50 as Range<UInt64> {
      for stream in 0..<50 as Range<UInt64> {
        var generator = Generator(seed: seed, stream: stream)
        seen.insert(generator.next())
      }
    }
    #expect(seen.count == 2500)
  }

  @Test func aStreamIsReproducible() {
    var first = Generator(seed: 3, stream: 4)
    var second = Generator(seed: 3, stream: 4)
    #expect((0..<9).map { _ in first.next() } == (0..<9).map { _ in second.next() })
  }

  @Test func permutationsAreThoseOfTheShuffleDescribed() {
    for n in Array(0...70) + [1000] {
      for seed in [0, 1, .max] as [UInt64] {
        var expected = (0..<n).map(Int64.init)
        for (drawn, i) in expected.indices.dropFirst().reversed().enumerated() {
          let product = splitMix(seed, position: drawn).multipliedFullWidth(by: UInt64(i + 1))
          expected.swapAt(i, Int(product.high))
        }
        let order = permutation(n, seed: seed)
        #expect(order == expected)
        #expect(order.sorted() == (0..<n).map(Int64.init))
      }
    }
  }

  /// Each of the 24 orders of four numbers comes up about equally often: 1000 times of 24000, with
  /// a standard deviation of 31.
  @Test func permutationsAreUniform() {
    var counts: [[Int64]: Int] = [:]
    for seed in 0..<24_000 as Range<UInt64> { counts[permutation(4, seed: seed), default: 0] += 1 }
    #expect(counts.count == 24)
    #expect(counts.values.allSatisfy { abs($0 - 1000) < 160 }, "\(counts.values.sorted())")
  }
}
