// How much memory a selection allocates at most, from a few counts. The caller makes sure of it
// beforehand, because Swift ends the process if an allocation fails. What must not live here: how
// memory is held back.

/// A bound on the memory of a selection, a step of a search, or the computation of scores.
public enum SelectionMemory {
  /// What is allocated at the same time, in bytes, for tensors of weights.
  ///
  /// - Parameters:
  ///   - elements: weights in all tensors.
  ///   - readBytes: of weights and gradients, or of scores.
  ///   - leastBytes: of weights alone, if those are all that is read.
  /// - Complexity: O(1).
  public static func bound(
    tensors: Int, elements: Int, readBytes: Int, leastBytes: Int
  ) -> Int {
    let chunks = tensors + elements / Chunk.largestCount
    let threads = (try? Threads.current()) ?? 1
    let workers = max(1, min(threads, chunks, elements / Chunk.largestCount))
    let largest = min(elements, Chunk.largestCount)
    // Weights inside the bracket: their keys and positions, copies of keys while they are sorted by
    // digits, and the positions of those that are kept.
    let listed = min(elements, max(leastListed, readBytes / 64 / listedSize(keySize: 4)))
    let capacity = max(leastListed, leastBytes / 64 / listedSize(keySize: keySize))
    let sample =
      elements < Bracket<BaselineFloatKernels>.minimumCount
      ? 0 : Bracket<BaselineFloatKernels>.sampleSize(elements, 0.5, capacity)
    return chunks * bytesOfChunk + workers * (bytesOfWorker + largest * listedSize(keySize: 8))
      + listed * (3 * keySize + 16) + sample * 4 * keySize
  }

  /// What floors and caps add, in bytes: lists of tensors and chunks, and for each thread the keys
  /// and the states of some output units.
  ///
  /// - Parameter sizes: elements of each tensor.
  public static func limits(_ bounds: [Bounds], sizes: [Int]) -> Int {
    let threads = (try? Threads.current()) ?? 1
    let chunks = sizes.count + sizes.reduce(0, +) / Chunk.largestCount
    let tiles = UnitPass<BaselineFloatKernels>.tiles(bounds, sizes: sizes)
    return chunks * 2 * bytesOfChunk + tiles.count * bytesOfTile
      + threads * tiles.largest * (3 * keySize + 1)
  }

  /// What costs add, in bytes: lists of chunks, and for each thread its counters.
  ///
  /// - Parameter sizes: elements of each tensor.
  public static func budget(sizes: [Int]) -> Int {
    let threads = (try? Threads.current()) ?? 1
    let chunks = sizes.count + sizes.reduce(0, +) / Chunk.largestCount
    return chunks * bytesOfChunk + threads * bytesOfWorker
  }

  /// What limits add among ranks, in bytes: lists of the tensors of all ranks, the histograms of many
  /// of them and their sums, and what limits add in one process.
  ///
  /// - Parameter sizes: elements of each tensor of this rank.
  public static func shared(_ limits: Limits, _ wholes: Wholes, sizes: [Int]) -> Int {
    let threads = (try? Threads.current()) ?? 1
    let range = wholes.range(sizes.count)
    guard range.upperBound <= wholes.sizes.count else { return 0 }
    let bounds = limits.bounds.map { Array($0[range]) } ?? sizes.map { _ in Bounds() }
    let histograms = SharedThresholds<BaselineFloatKernels>.bytes(wholes.sizes.count)
    return self.limits(bounds, sizes: sizes) + budget(sizes: sizes)
      + wholes.sizes.count * 40 * MemoryLayout<Int>.size + (threads + 8) * histograms
  }

  /// A tile and what was decided in it.
  private static let bytesOfTile = 192
  /// Of a binary64 score.
  private static let keySize = 8
  private static let leastListed = 1 << 15
  private static func listedSize(keySize: Int) -> Int { keySize + MemoryLayout<UInt32>.size }

  /// The chunk, its statistics, its lists, and what is kept of its tensor; of lists that grow, the
  /// old and the new memory.
  private static let bytesOfChunk = 768
  /// Scratch, histograms, and what a thread itself needs.
  private static let bytesOfWorker = 1 << 17
}
