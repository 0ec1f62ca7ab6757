// The loops over the mask of a block at every CPU level, against loops over single weights.

import Testing

@testable import SwiftForceCore

/// Numbers of weights around those that one turn of a loop takes.
private let counts = [0, 1, 7, 63, 64, 65, 127, 777, 1023, 1024]

/// A mask of `count` bytes, in which about one of `rarity` weights has a mark.
private func mask(_ count: Int, mark: UInt8, rarity: Int, seed: UInt64) -> [UInt8] {
  var generator = TestGenerator(state: seed)
  return (0..<count).map { _ in
    Int.random(in: 0..<rarity, using: &generator) == 0
      ? mark : UInt8.random(in: 0...1, using: &generator)
  }
}

private struct Collecting: KernelJob {
  let keys: Memory<Int32>
  let mask: Memory<UInt8>
  let found: Memory<Int32>
  let positions: Memory<UInt32>

  func run<K: BlockKernels>(_: K.Type, _: Int) throws(SFError) {
    unsafe keys.base.withMemoryRebound(to: K.Key.self, capacity: keys.count) { keys in
      unsafe found.base.withMemoryRebound(to: K.Key.self, capacity: found.count) { found in
        unsafe K.collect(
          keys, mask.base, count: mask.count, offset: 5, found: found, positions: positions.base)
      }
    }
  }
}

private struct Applying: KernelJob {
  let mask: Memory<UInt8>
  let before: Memory<UInt8>
  let weights: Memory<UInt8>
  let masked: Memory<UInt8>
  let size: Int
  let start: Int

  func run<K: BlockKernels>(_: K.Type, _: Int) throws(SFError) {
    unsafe K.apply(
      mask.base, unlessEqualTo: before.base, to: weights.base, size: size, start: start,
      count: mask.count, into: masked.base)
  }
}

@Suite struct BlockMasksTests {
  @Test(arguments: counts, CPULevel.available)
  func undecidedWeightsAreListedInOrder(count: Int, level: CPULevel) throws {
    for rarity in [1, 3, 100, 5000] {
      let marked = mask(count, mark: 2, rarity: rarity, seed: UInt64(count + rarity))
      let places = marked.indices.filter { marked[$0] == 2 }
      let keys = Memory((0..<count).map { Int32($0 * 3) }, guardedBy: -1)
      let masks = Memory(marked, guardedBy: 2)
      let found = Memory([Int32](repeating: -2, count: places.count), guardedBy: -1)
      let positions = Memory([UInt32](repeating: 9, count: places.count), guardedBy: 1)
      let job = Collecting(keys: keys, mask: masks, found: found, positions: positions)
      try job.dispatch(wide: false, level: level)
      #expect(found.values == places.map { Int32($0 * 3) })
      #expect(positions.values == places.map { UInt32($0 + 5) })
      #expect(masks.values == marked.map { $0 == 2 ? 0 : $0 })
      #expect(found.isIntact && positions.isIntact && masks.isIntact && keys.isIntact)
    }
  }

  /// Where two masks agree, nothing is written: what lies there need not be a masked weight.
  @Test(arguments: counts, CPULevel.available)
  func whatHasChangedIsWritten(count: Int, level: CPULevel) throws {
    for (size, start) in [(2, 0), (2, 3), (4, 0), (4, 5), (8, 0), (8, 1)] {
      for rarity in [1, 20, 700] {
        let before = mask(count, mark: 1, rarity: 2, seed: UInt64(count))
        let flips = mask(count, mark: 2, rarity: rarity, seed: UInt64(count + rarity))
        let now = zip(before, flips).map { $1 == 2 ? 1 - $0 : $0 }
        let bytes = (0..<(count + start) * size).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }
        let old = bytes.map { ~$0 }
        let target = Memory(old, guardedBy: 0xA5)
        let job = Applying(
          mask: Memory(now, guardedBy: 1), before: Memory(before, guardedBy: 0),
          weights: Memory(bytes, guardedBy: 3), masked: target, size: size, start: start)
        try job.dispatch(wide: false, level: level)
        let whole = count & ~63
        let expected = old.indices.map { byte -> UInt8 in
          let i = byte / size - start
          // The weights behind the last 64 are all written.
          guard i >= 0, i >= whole || now[i] != before[i] else { return old[byte] }
          return now[i] == 1 ? bytes[byte] : 0
        }
        #expect(target.values == expected, "size \(size), start \(start), rarity \(rarity)")
        #expect(target.isIntact)
      }
    }
  }
}
