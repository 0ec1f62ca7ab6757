// A scan of memory: all bytes of a list of arrays are read once, with as many threads as a
// selection uses. Benchmarks compare selection with it, because no algorithm can be faster. What
// must not live here: anything of the method, and no other file may depend on this one.

import CPlatform
import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// Reads memory as fast as the machine can.
public enum MemoryScan {
  /// The exclusive or of all 64-bit words of the arrays. Each array is divided into words from its
  /// own start; the bytes that a last word lacks count as zeros.
  ///
  /// - Complexity: every byte is read once. The order is the fastest that was found, not that of
  ///   the addresses.
  /// - Throws: `badEnvironment`.
  @unsafe public static func parity(of arrays: [UnsafeRawBufferPointer]) throws(SFError) -> UInt64 {
    unsafe parity(of: arrays, level: try CPULevel.current(), threads: try Threads.current())
  }

  /// - Parameter streams: how many streams one worker reads at a time; nil: what suits the size.
  static func parity(
    of arrays: [UnsafeRawBufferPointer], level: CPULevel, threads: Int, streams: Int? = nil
  ) -> UInt64 {
    #if arch(x86_64)
      switch level {
      case .v4: return unsafe parity(arrays, SwiftForceKernelsV4.MemoryScan.self, threads, streams)
      case .v3: return unsafe parity(arrays, SwiftForceKernelsV3.MemoryScan.self, threads, streams)
      case .v2: break
      }
    #endif
    return unsafe parity(arrays, SwiftForceKernels.MemoryScan.self, threads, streams)
  }

  private static func parity<K: MemoryScanKernel>(
    _ arrays: [UnsafeRawBufferPointer], _: K.Type, _ threads: Int, _ streams: Int?
  ) -> UInt64 {
    let parts = unsafe arrays.flatMap { unsafe Part.all(of: $0) }
    let bytes = unsafe arrays.reduce(0) { $0 + $1.count }
    let workers = max(1, min(threads, parts.count, bytes / minimumBytes))
    // Small arrays lie in a cache, where several streams gain nothing.
    let streams = streams ?? (bytes < minimumBytes ? 1 : Part.streams)
    return Parallel.map(parts.count, workers: workers) { parts[$1].parity(K.self, streams) }
      .reduce(0) { $0 ^ $1 }
  }

  /// With fewer bytes per thread, starting a thread costs more than it gains.
  private static let minimumBytes = 1 << 20
}

/// The loop of a scan at one CPU level.
protocol MemoryScanKernel {
  static func combine(
    _ start: UnsafeRawPointer, count: Int, into lanes: UnsafeMutablePointer<UInt64>)
}

extension SwiftForceKernels.MemoryScan: MemoryScanKernel {}

#if arch(x86_64)
  extension SwiftForceKernelsV3.MemoryScan: MemoryScanKernel {}
  extension SwiftForceKernelsV4.MemoryScan: MemoryScanKernel {}
#endif

/// The bytes that one worker reads at a time, divided into several streams that are read in
/// alternation.
///
/// A CPU recognises a stream of addresses within a page of 4 KiB and prefetches it. With several
/// streams, more loads are in flight. A single stream took about a fifth longer.
@safe private struct Part: @unchecked Sendable {
  let start: UnsafeRawPointer
  let count: Int

  static let largestCount = 1 << 19
  static let streams = 8
  /// Bytes of a stream that are read before the next stream has its turn.
  static let blockSize = 256
  /// How many bytes ahead of the loop memory is prefetched.
  static let prefetchDistance = 512

  static func all(of array: UnsafeRawBufferPointer) -> [Part] {
    guard let base = array.baseAddress else { return [] }
    return stride(from: 0, to: array.count, by: largestCount).map { offset in
      unsafe Part(start: base + offset, count: min(largestCount, array.count - offset))
    }
  }

  func parity<K: MemoryScanKernel>(_: K.Type, _ streams: Int) -> UInt64 {
    // A stream is a whole number of blocks long. The rest, less than one block of every stream, is
    // read at the end; with one stream, that is everything.
    let length = streams == 1 ? 0 : count / streams & ~(Part.blockSize - 1)
    let read = streams * length
    let laneCount = SwiftForceKernels.MemoryScan.laneCount
    // Each stream has its own lanes, so that its block need not wait for that of another stream.
    return unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: streams * laneCount) {
      buffer in
      guard let lanes = buffer.baseAddress else { return 0 }
      unsafe lanes.initialize(repeating: 0, count: buffer.count)
      for offset in stride(from: 0, to: length, by: Part.blockSize) {
        for stream in 0..<streams {
          let address = unsafe start + (stream * length + offset)
          let first = Part.prefetchDistance
          for line in stride(from: first, to: first + Part.blockSize, by: 64) {
            unsafe platform_prefetch(address + line)
          }
          unsafe K.combine(address, count: Part.blockSize, into: lanes + stream * laneCount)
        }
      }
      unsafe K.combine(start + read, count: count - read, into: lanes)
      return unsafe buffer.reduce(0) { $0 ^ $1 }
    }
  }
}
