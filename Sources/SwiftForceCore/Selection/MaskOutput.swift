// The output of a selection: the masks, and the masked weights if the caller asks for them. What
// must not live here: which weights are kept.

/// The arrays that a selection writes, and those that it compares with.
struct MaskOutput<K: BlockKernels> {
  let masks: [Mask]
  /// The masks of the previous step; nil in the first step, when every weight was kept.
  let previous: [Mask]?
  /// The dense weights, and the arrays that receive them with removed weights set to zero.
  let applying: (weights: [Tensor], masked: [MutableTensor])?
  /// Whether the masked weights may differ from what the previous masks left, because a pass that
  /// did not succeed wrote some of them.
  var isMaskedStale = false

  @inline(__always)
  func mask(_ block: Block) -> UnsafeMutablePointer<UInt8> {
    unsafe masks[block.tensor].base + block.start
  }

  /// How many weights of each tensor the previous masks keep; 0 in the first step.
  func previouslyKept(_ chunks: [Chunk], _ workers: Int) -> [Int] {
    guard let previous else { return [Int](repeating: 0, count: masks.count) }
    let kept = Parallel.map(chunks.count, workers: workers) { _, round in
      let chunk = chunks[round]
      return unsafe K.kept(previous[chunk.tensor].base + chunk.start, count: chunk.count)
    }
    var total = [Int](repeating: 0, count: previous.count)
    for (chunk, kept) in zip(chunks, kept) { total[chunk.tensor] += kept }
    return total
  }

  /// Counts how a block's new mask differs from the previous one, and writes the masked weights of
  /// the block.
  @inline(__always)
  func commit(_ block: Block, _ statistics: inout Statistics) {
    let mask = unsafe mask(block)
    guard let previous = previous?[block.tensor] else {
      unsafe apply(mask, block, unless: nil)
      return
    }
    let before = unsafe previous.base + block.start
    let change = unsafe K.changes(from: before, to: mask, count: block.count)
    statistics.removed += change.removed
    statistics.revived += change.revived
    // Cache lines in order take less time than a quarter of them here and there.
    let changed = change.removed + change.revived
    let isSparse = !isMaskedStale && changed * weightsPerLine(block) < block.count / 4
    unsafe apply(mask, block, unless: isSparse ? before : nil)
  }

  /// How many masked weights a cache line holds.
  private func weightsPerLine(_ block: Block) -> Int {
    64 / (applying?.weights[block.tensor].type.size ?? 4)
  }

  /// The statistics of a block whose mask was decided by more than its scores, and its masked
  /// weights.
  ///
  /// - Parameters:
  ///   - found: what classifying the block has found; what is kept replaces what is above.
  ///   - scratch: has the keys of the block.
  func finish(
    _ block: Block, _ found: BlockStatistics, _ objective: Double, _ scratch: Scratch<K>
  ) -> Statistics {
    let mask = unsafe mask(block)
    var statistics = Statistics()
    statistics += found
    statistics.objective = objective
    statistics.kept = unsafe K.kept(mask, count: block.count)
    statistics.saliency = unsafe K.keptSum(scratch.keys, mask, count: block.count)
    commit(block, &statistics)
    return statistics
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

  /// Keeps weights of one tensor that were marked as removed, and updates the statistics.
  func keep(_ positions: [Int], of tensor: Int, _ statistics: inout Statistics) {
    let mask = unsafe masks[tensor].base
    for position in positions { unsafe mask[position] = 1 }
    statistics.kept += positions.count
    if let previous = previous?[tensor] {
      let before = unsafe previous.base
      let again = positions.reduce(0) { unsafe $0 + (before[$1] == 0 ? 0 : 1) }
      statistics.removed -= again
      statistics.revived += positions.count - again
    }
    guard let applying else { return }
    let weights = applying.weights[tensor]
    unsafe K.copy(
      positions, from: weights.base, to: applying.masked[tensor].base, size: weights.type.size)
  }

  /// Restores the masked weights to their state before a step that failed.
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

/// Counts the weights that masks keep.
struct KeptCount: KernelJob {
  let masks: [Mask]

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Int {
    let sizes = masks.map(\.count)
    let chunks = Chunk.all(of: sizes)
    let output = MaskOutput<K>(masks: [], previous: masks, applying: nil)
    return output.previouslyKept(chunks, workers(threads, chunks, sizes.reduce(0, +))).reduce(0, +)
  }
}
