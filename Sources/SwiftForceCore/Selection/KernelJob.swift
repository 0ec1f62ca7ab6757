// Choosing the compiled loops for a piece of work: the CPU level in use, and the type of scores.
// What must not live here: what the work is.

import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// Work that is written once, for the loops of every CPU level and both types of scores.
protocol KernelJob {
  associatedtype Result
  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Result
}

extension KernelJob {
  /// Runs the job with the loops of a CPU level.
  ///
  /// - Parameters:
  ///   - wide: whether scores are binary64.
  ///   - level, threads: nil: those in use.
  /// - Throws: what `run` throws; `badEnvironment`.
  func dispatch(
    wide: Bool, level: CPULevel? = nil, threads: Int? = nil
  ) throws(SFError) -> Result {
    let level = if let level { level } else { try CPULevel.current() }
    let threads = if let threads { threads } else { try Threads.current() }
    #if arch(x86_64)
      switch level {
      case .v4:
        return wide
          ? try run(SwiftForceKernelsV4.Blocks<Double>.self, threads)
          : try run(SwiftForceKernelsV4.Blocks<Float>.self, threads)
      case .v3:
        return wide
          ? try run(SwiftForceKernelsV3.Blocks<Double>.self, threads)
          : try run(SwiftForceKernelsV3.Blocks<Float>.self, threads)
      case .v2: break
      }
    #endif
    return wide
      ? try run(SwiftForceKernels.Blocks<Double>.self, threads)
      : try run(SwiftForceKernels.Blocks<Float>.self, threads)
  }

  /// The number of workers to start: as many as have enough work to be worth it.
  func workers(_ threads: Int, _ chunks: [Chunk], _ count: Int) -> Int {
    max(1, min(threads, chunks.count, count / Chunk.largestCount))
  }
}
