// How much memory the calls of a network allocate at most besides its arenas, from a few counts. The
// caller makes sure of it beforehand, because Swift ends the process if an allocation fails. What
// must not live here: how memory is held back.

import SwiftForceCore

/// Bounds on the memory for lists and tables, in bytes.
public enum NetworkMemory {
  /// Of a network's creation.
  ///
  /// - Parameter layers: how many layers are described.
  public static func creation(layers: Int) -> Int { layers * bytesOfLayer }

  /// What a layer needs: its description, its parameters, its place in the plan of the memory, and
  /// the views of a pass; of lists that grow, the old and the new memory.
  fileprivate static let bytesOfLayer = 6144
}

extension Network {
  /// What a call with a batch allocates at most besides arenas, in bytes.
  ///
  /// - Parameters:
  ///   - count: the samples of the batch.
  ///   - isNormalized: whether all of them may be computed together.
  public func memoryBound(count: Int, isNormalized: Bool) -> Int {
    let workers = (try? Threads.current()) ?? 1
    let together =
      isNormalized && !architecture.normalizingLayers.isEmpty
      ? min(count, Architecture.validSizes.upperBound) : min(count, Architecture.microBatch)
    let tables = architecture.layers.reduce(0) {
      max($0, $1.tables(batch: together, workers: workers))
    }
    return NetworkMemory.creation(layers: architecture.layers.count) + 2 * tables
      + min(count, 1 << 56) * 24 + workers * (1 << 14)
  }
}
