// The memory scan: every byte counts once, for sizes around the boundaries of its streams, at every
// CPU level and number of threads.

import Testing

@testable import SwiftForceCore

/// The result by definition: words from the start of each array, the last one padded with zeros.
private func parity(_ arrays: [[UInt8]]) -> UInt64 {
  var parity: UInt64 = 0
  for array in arrays {
    for (i, byte) in array.enumerated() { parity ^= UInt64(byte) << UInt64(i % 8 * 8) }
  }
  return parity
}

private func bytes(_ count: Int, _ generator: inout TestGenerator) -> [UInt8] {
  (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}

/// The result of a scan of arrays that begin `shift` bytes after the start of their memory.
private func scan(
  _ memory: [Memory<UInt8>], shift: Int = 0, level: CPULevel, threads: Int, streams: Int? = nil
) -> UInt64 {
  withExtendedLifetime(memory) {
    unsafe MemoryScan.parity(
      of: unsafe memory.map {
        unsafe UnsafeRawBufferPointer(start: $0.base + shift, count: $0.count - shift)
      }, level: level, threads: threads, streams: streams)
  }
}

private let part = 1 << 19

@Suite struct MemoryScanTests {
  @Test(arguments: CPULevel.available)
  func everyByteCountsOnce(level: CPULevel) {
    var generator = TestGenerator(state: 8)
    for count in [0, 1, 7, 8, 9, 255, 256, 257, 2047, 2048, 2049, 4096 + 77, 65_536 + 1] {
      let array = bytes(count, &generator)
      for shift in [0, 3] {
        let memory = Memory([UInt8](repeating: 7, count: shift) + array, guardedBy: 0xA5)
        for streams in [1, 8] {
          let found = scan([memory], shift: shift, level: level, threads: 1, streams: streams)
          #expect(found == parity([array]), "\(count) bytes in \(streams) streams")
        }
      }
    }
  }

  @Test func levelsAndThreadsAgree() {
    var generator = TestGenerator(state: 9)
    let arrays = [part - 1, 0, part + 3, 5, 2 * part + 13].map { bytes($0, &generator) }
    let expected = parity(arrays)
    let memory = arrays.map { Memory($0, guardedBy: 0xA5) }
    for level in CPULevel.available {
      for threads in [1, 3] {
        #expect(scan(memory, level: level, threads: threads) == expected, "\(level) \(threads)")
      }
    }
  }

  /// No byte is skipped, wherever it lies in a part.
  @Test func oneBitIsSeenEverywhere() {
    let memory = Memory([UInt8](repeating: 0, count: 2 * 2048 + 300), guardedBy: 0xA5)
    for position in 0..<memory.count {
      unsafe memory.base[position] = 1
      let found = scan([memory], level: .v2, threads: 1, streams: 8)
      #expect(found == 1 << UInt64(position % 8 * 8), "\(position)")
      unsafe memory.base[position] = 0
    }
  }

  @Test func nothingIsZero() {
    #expect(scan([], level: .v2, threads: 2) == 0)
    #expect(scan([Memory([], guardedBy: 1)], level: .v2, threads: 2) == 0)
  }
}
