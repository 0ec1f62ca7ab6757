// The temporary buffers for one block. What must not live here: buffers that outlive a block.

/// Temporary buffers for the scores of one block, owned by one worker.
@safe final class Scratch<K: BlockKernels> {
  /// Keys of the block.
  let keys: UnsafeMutablePointer<K.Key>
  /// Weights or scores, widened to the type of scores if the array has another type.
  let first: UnsafeMutablePointer<K.Score>
  /// Gradients, widened in the same way.
  let second: UnsafeMutablePointer<K.Score>
  /// Accumulated scores, widened in the same way.
  let third: UnsafeMutablePointer<K.Score>
  /// A mask of the block, where none of the caller's is written.
  let mask: UnsafeMutablePointer<UInt8>
  /// The gradients of the block that was filled last; nil if none are read.
  var gradients: UnsafePointer<K.Score>?

  init() {
    unsafe keys = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
    unsafe first = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
    unsafe second = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
    unsafe third = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
    unsafe mask = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe first.deallocate()
    unsafe second.deallocate()
    unsafe third.deallocate()
    unsafe mask.deallocate()
  }
}
