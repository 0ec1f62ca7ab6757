// How a list of tensors is cut: into chunks that workers take, and blocks that stay in the innermost
// cache. The cut depends on the sizes alone, so whatever is summed in its order is the same for any
// number of threads.

/// A stretch of one tensor, small enough that its keys stay in the innermost cache; or a few
/// elements of a longer stretch.
@safe struct Block {
  /// Position of the tensor in its list.
  let tensor: Int
  /// The first element, in memory order.
  let start: Int
  let count: Int
  /// How many elements of all tensors lie before it.
  let offset: Int
  /// nil, or how far after the first element each of the `count` elements lies.
  let picks: UnsafePointer<Int>?

  /// Weights, gradients and keys of so many, and the weights and gradients that follow them, fit
  /// into the innermost cache; and so few can be asked for at once.
  static let largestCount = 1024
}

/// A stretch of one tensor that one worker takes at a time.
struct Chunk {
  let tensor: Int
  let start: Int
  let count: Int
  let offset: Int

  /// Long enough that taking one costs nothing, short enough that workers finish together, and
  /// that a position in it fits into 32 bits.
  static let largestCount = 128 * Block.largestCount

  /// The chunks of tensors of these sizes, in order.
  static func all(of sizes: [Int]) -> [Chunk] {
    var chunks: [Chunk] = []
    var offset = 0
    for (tensor, size) in sizes.enumerated() {
      for start in stride(from: 0, to: size, by: largestCount) {
        let count = min(largestCount, size - start)
        chunks.append(Chunk(tensor: tensor, start: start, count: count, offset: offset + start))
      }
      offset += size
    }
    return chunks
  }

  /// Calls `body` for each block, in order.
  @inline(__always)
  func forEachBlock(_ body: (Block) -> Void) {
    var done = 0
    while done < count {
      let length = min(Block.largestCount, count - done)
      unsafe body(
        Block(
          tensor: tensor, start: start + done, count: length, offset: offset + done, picks: nil))
      done += length
    }
  }
}
