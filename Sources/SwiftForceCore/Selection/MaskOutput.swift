// Where a selection goes: the masks, and the masked weights where somebody wants them.

/// The arrays that a selection writes, and those that it compares with.
struct MaskOutput<K: BlockKernels> {
  let masks: [Mask]
  /// The masks of the previous step; nil at the first, when every weight was kept.
  let previous: [Mask]?
  /// The dense weights, and where they go with those removed replaced by zero.
  let applying: (weights: [Tensor], masked: [MutableTensor])?
  /// Whether masked weights may be others than the previous masks left: after a reading in vain.
  var isSpoiled = false

  @inline(__always)
  func mask(_ block: Block) -> UnsafeMutablePointer<UInt8> {
    unsafe masks[block.tensor].base + block.start
  }

  /// How many weights the previous masks keep.
  func previouslyKept(_ chunks: [Chunk], _ workers: Int) -> Int {
    guard let previous else { return 0 }
    return Parallel.map(chunks.count, workers: workers) { _, round in
      let chunk = chunks[round]
      return unsafe K.kept(previous[chunk.tensor].base + chunk.start, count: chunk.count)
    }.reduce(0, +)
  }

  /// Counts what changed with a block's new mask since the previous step, and writes its masked
  /// weights.
  @inline(__always)
  func follow(_ block: Block, _ survey: inout Survey) {
    let mask = unsafe mask(block)
    guard let previous = previous?[block.tensor] else {
      unsafe apply(mask, block, unless: nil)
      return
    }
    let before = unsafe previous.base + block.start
    let change = unsafe K.changes(from: before, to: mask, count: block.count)
    survey.removed += change.removed
    survey.revived += change.revived
    // Where much has changed, to write it all is faster than to look for what has.
    let isSparse = !isSpoiled && (change.removed + change.revived) * 16 < block.count
    unsafe apply(mask, block, unless: isSparse ? before : nil)
  }

  @inline(__always)
  private func apply(
    _ mask: UnsafePointer<UInt8>, _ block: Block, unless before: UnsafePointer<UInt8>?
  ) {
    guard let applying else { return }
    let weights = applying.weights[block.tensor]
    unsafe K.apply(
      mask, unlessEqualTo: before, to: weights.base, size: weights.type.size, start: block.start,
      count: block.count, into: applying.masked[block.tensor].base)
  }

  /// Keeps weights of one tensor that were marked as removed, and counts what that changes.
  func keep(_ positions: [Int], of tensor: Int, _ survey: inout Survey) {
    let mask = unsafe masks[tensor].base
    for position in positions { unsafe mask[position] = 1 }
    survey.kept += positions.count
    if let previous = previous?[tensor] {
      let before = unsafe previous.base
      let again = positions.reduce(0) { unsafe $0 + (before[$1] == 0 ? 0 : 1) }
      survey.removed -= again
      survey.revived += positions.count - again
    }
    guard let applying else { return }
    let weights = applying.weights[tensor]
    unsafe K.copy(
      positions, from: weights.base, to: applying.masked[tensor].base, size: weights.type.size)
  }

  /// Puts the masked weights back to what they were before a step that failed.
  func restore() {
    guard let applying, let previous else { return }
    for (tensor, mask) in previous.enumerated() {
      let weights = applying.weights[tensor]
      unsafe K.apply(
        mask.base, unlessEqualTo: nil, to: weights.base, size: weights.type.size, start: 0,
        count: weights.count, into: applying.masked[tensor].base)
    }
  }
}
