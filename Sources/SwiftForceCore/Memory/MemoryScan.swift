// All bytes of a list of arrays, read once by the threads that a selection would have: the limit
// that benchmarks hold selection against. Nothing of the method is here, and nothing of it may come
// to depend on this.

import CPlatform
import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// The reading of memory, as fast as the machine gives it.
public enum Reading {
  /// The exclusive or of all 64-bit words of the arrays, each cut into words from its own start;
  /// bytes that are missing from a last word count as zeros behind the others.
  ///
  /// - Complexity: every byte is read once. The order in which they are is the fastest that was
  ///   found; it does not follow the positions.
  /// - Throws: `badEnvironment`.
  @unsafe public static func parity(of arrays: [UnsafeRawBufferPointer]) throws(SFError) -> UInt64 {
    unsafe parity(of: arrays, level: try CPULevel.current(), threads: try Threads.current())
  }

  /// - Parameter strips: how many are gone through side by side; what suits the size, if nil.
  static func parity(
    of arrays: [UnsafeRawBufferPointer], level: CPULevel, threads: Int, strips: Int? = nil
  ) -> UInt64 {
    #if arch(x86_64)
      switch level {
      case .v4: return unsafe parity(arrays, SwiftForceKernelsV4.Reading.self, threads, strips)
      case .v3: return unsafe parity(arrays, SwiftForceKernelsV3.Reading.self, threads, strips)
      case .v2: break
      }
    #endif
    return unsafe parity(arrays, SwiftForceKernels.Reading.self, threads, strips)
  }

  private static func parity<K: ReadingKernel>(
    _ arrays: [UnsafeRawBufferPointer], _: K.Type, _ threads: Int, _ strips: Int?
  ) -> UInt64 {
    let parts = unsafe arrays.flatMap { unsafe Part.all(of: $0) }
    let bytes = unsafe arrays.reduce(0) { $0 + $1.count }
    let workers = max(1, min(threads, parts.count, bytes / leastBytes))
    // What is small lies in a cache, and has nothing to gain from strips.
    let strips = strips ?? (bytes < leastBytes ? 1 : Part.strips)
    return Parallel.map(parts.count, workers: workers) { parts[$1].parity(K.self, strips) }
      .reduce(0) { $0 ^ $1 }
  }

  /// Fewer bytes than this for each thread, and starting one costs more than it gains.
  private static let leastBytes = 1 << 20
}

/// The loop at one CPU level.
protocol ReadingKernel {
  static func combine(
    _ start: UnsafeRawPointer, count: Int, into lanes: UnsafeMutablePointer<UInt64>)
}

extension SwiftForceKernels.Reading: ReadingKernel {}

#if arch(x86_64)
  extension SwiftForceKernelsV3.Reading: ReadingKernel {}
  extension SwiftForceKernelsV4.Reading: ReadingKernel {}
#endif

/// What one worker reads at a time: several strips that lie one behind the other, gone through side
/// by side. A CPU recognises a stream of addresses within a page of 4 KiB and fetches ahead in it;
/// with several streams at once, more memory is under way. One stream took about a fifth longer.
@safe private struct Part: @unchecked Sendable {
  let start: UnsafeRawPointer
  let count: Int

  static let largestCount = 1 << 19
  static let strips = 8
  /// Bytes of a strip that are read before its neighbour's turn comes.
  static let turn = 256
  /// How many bytes ahead of the loop memory is asked for.
  static let lead = 512

  static func all(of array: UnsafeRawBufferPointer) -> [Part] {
    guard let base = array.baseAddress else { return [] }
    return stride(from: 0, to: array.count, by: largestCount).map { offset in
      unsafe Part(start: base + offset, count: min(largestCount, array.count - offset))
    }
  }

  func parity<K: ReadingKernel>(_: K.Type, _ strips: Int) -> UInt64 {
    // Strips are a whole number of turns long, and so of words; what is left is shorter than a turn
    // of all, or all where there are no strips to speak of.
    let length = strips == 1 ? 0 : count / strips & ~(Part.turn - 1)
    let read = strips * length
    let laneCount = SwiftForceKernels.Reading.laneCount
    // Each strip has lanes of its own, so that its turn need not wait for that of its neighbour.
    return unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: strips * laneCount) {
      buffer in
      guard let lanes = buffer.baseAddress else { return 0 }
      unsafe lanes.initialize(repeating: 0, count: buffer.count)
      for offset in stride(from: 0, to: length, by: Part.turn) {
        for strip in 0..<strips {
          let place = unsafe start + (strip * length + offset)
          for line in stride(from: Part.lead, to: Part.lead + Part.turn, by: 64) {
            unsafe platform_request(place + line)
          }
          unsafe K.combine(place, count: Part.turn, into: lanes + strip * laneCount)
        }
      }
      unsafe K.combine(start + read, count: count - read, into: lanes)
      return unsafe buffer.reduce(0) { $0 ^ $1 }
    }
  }
}
