// How a list of tensors is divided: into chunks, the work items of the threads, and into blocks
// that fit into the L1 cache. The division depends on the sizes alone, so sums over chunks in order
// are the same for any number of threads. What must not live here: what is computed per chunk.

/// A run of elements of one tensor whose keys fit into the L1 cache, or some elements of a longer
/// run.
@safe struct Block {
  /// Index of the tensor in its list.
  let tensor: Int
  /// Index of the first element in the tensor, in memory order.
  let start: Int
  let count: Int
  /// How many elements of all tensors lie before the first one.
  let offset: Int
  /// The index of each of the `count` elements, relative to `start`; nil: the elements are
  /// consecutive.
  let indices: UnsafePointer<Int>?

  /// The weights, gradients and keys of one block, and the prefetched weights and gradients of the
  /// next one, fit into the L1 cache. A CPU can also prefetch this many sampled elements at once.
  static let largestCount = 1024
}

/// A run of elements of one tensor that one worker processes at a time.
struct Chunk {
  let tensor: Int
  let start: Int
  let count: Int
  /// How many elements of all tensors lie before it.
  let offset: Int

  /// Long enough that handing out a chunk costs nothing, short enough that all workers finish at
  /// about the same time and that an index in it fits into 32 bits.
  static let largestCount = 128 * Block.largestCount

  /// The chunks of tensors of these sizes, in order.
  static func all(of sizes: [Int]) -> [Chunk] {
    var chunks: [Chunk] = []
    var offset = 0
    for (tensor, size) in sizes.enumerated() {
      append(tensor, size, offset, to: &chunks)
      offset += size
    }
    return chunks
  }

  /// The chunks of one tensor, as if there were no other.
  static func all(of size: Int, tensor: Int) -> [Chunk] {
    var chunks: [Chunk] = []
    append(tensor, size, 0, to: &chunks)
    return chunks
  }

  private static func append(_ tensor: Int, _ size: Int, _ offset: Int, to chunks: inout [Chunk]) {
    for start in stride(from: 0, to: size, by: largestCount) {
      let count = min(largestCount, size - start)
      chunks.append(Chunk(tensor: tensor, start: start, count: count, offset: offset + start))
    }
  }

  /// Calls `body` for each block, in order.
  @inline(__always)
  func forEachBlock(_ body: (Block) -> Void) {
    var done = 0
    while done < count {
      let length = min(Block.largestCount, count - done)
      unsafe body(
        Block(
          tensor: tensor, start: start + done, count: length, offset: offset + done, indices: nil))
      done += length
    }
  }
}
