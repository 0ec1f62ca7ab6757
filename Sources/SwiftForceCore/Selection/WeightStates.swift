// The state of each weight while bounds are applied: kept, removed, or open. What must not live here:
// which weights bounds decide (BoundedSelection, SharedBounds).

/// States of weights in the memory of the masks: 1 kept, 0 removed, 2 open. So no other memory is
/// needed that grows with the weights.
struct WeightStates<K: BlockKernels> {
  let selection: MaskSelection
  /// The scores of the weights that are open.
  let open: Scores
  let chunks: [Chunk]
  let workers: Int

  init(_ selection: MaskSelection, chunks: [Chunk], workers: Int) {
    self.selection = selection
    open = selection.scores.open(in: selection.masks)
    (self.chunks, self.workers) = (chunks, workers)
  }

  private var states: [Mask] { selection.masks }

  /// Opens all weights of a tensor.
  func begin(_ tensor: Int) {
    unsafe states[tensor].base.update(repeating: 2, count: states[tensor].count)
  }

  /// Gives all open weights of a chunk a state.
  private func close(_ chunk: Chunk, as rest: UInt8) {
    let states = unsafe states[chunk.tensor].base + chunk.start
    for i in 0..<chunk.count where unsafe states[i] == 2 { unsafe states[i] = rest }
  }

  /// Gives the open weights of a chunk their states.
  ///
  /// - Parameters:
  ///   - ties: how many of those at the key are among the top: the first ones.
  func mark(
    _ chunk: Chunk, _ scratch: Scratch<K>, above key: K.Key, ties: Int, top: UInt8, rest: UInt8
  ) {
    let bracket = Bracket<K>(around: key)
    var left = ties
    chunk.forEachBlock { block in
      let states = unsafe states[block.tensor].base + block.start
      _ = unsafe open.classify(scratch, block, bracket, into: scratch.mask)
      _ = unsafe K.resolve(scratch.mask, count: block.count, keeping: &left)
      unsafe K.decide(scratch.mask, count: block.count, top: top, rest: rest, in: states)
    }
  }

  /// Decides open weights of a tensor that is whole here: its best ones, and the others.
  ///
  /// - Parameters:
  ///   - count: how many are among the best; at least 1.
  ///   - top, rest: their state, and that of the others.
  /// - Returns: the smallest key of the best, and how many passes it took.
  /// - Throws: `nonFinite`, `arraysChanged`.
  func decide(
    _ tensor: Int, keeping count: Int, top: UInt8, rest: UInt8
  ) throws(SFError) -> (key: K.Key, passes: Int) {
    let size = states[tensor].count
    let chunks = Chunk.all(of: size, tensor: tensor)
    let workers = max(1, min(workers, chunks.count, size / Chunk.largestCount))
    let found = try SelectionPasses<K>(
      scores: open, keep: count, chunks: chunks, count: size, workers: workers, output: nil
    ).run()
    let key = found.selected.threshold.key
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    Parallel.forEach(chunks.count, workers: workers) { worker, round in
      mark(
        chunks[round], scratches[worker], above: key, ties: found.selected.keptTies[round],
        top: top, rest: rest)
    }
    return (key, found.passes + 1)
  }

  /// Gives all open weights of a tensor a state.
  func close(_ tensor: Int, as rest: UInt8) {
    let chunks = Chunk.all(of: states[tensor].count, tensor: tensor)
    Parallel.forEach(chunks.count, workers: max(1, min(workers, chunks.count))) { _, round in
      close(chunks[round], as: rest)
    }
  }

  /// What the last pass counts.
  struct Written {
    var statistics = Statistics()
    /// Weights at the smallest score that is kept.
    var ties = (all: 0, kept: 0)
    /// Weights that bounds keep below the threshold of all, and remove above it.
    var overruled = (kept: 0, removed: 0)
    /// How many weights each tensor keeps; empty for a chunk.
    var layerKept: [Int] = []

    static func += (total: inout Written, part: Written) {
      total.statistics += part.statistics
      total.ties.all += part.ties.all
      total.ties.kept += part.ties.kept
      total.overruled.kept += part.overruled.kept
      total.overruled.removed += part.overruled.removed
    }
  }

  /// Turns states into masks, and writes the masked weights.
  ///
  /// - Parameters:
  ///   - threshold: of the open weights that are kept, and how many at it each chunk keeps; nil: none
  ///     is.
  ///   - smallest: the smallest key that is kept.
  func write(
    _ output: MaskOutput<K>, _ threshold: (key: K.Key, keptTies: [Int])?, smallest: K.Key
  ) -> Written {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let written = Parallel.map(chunks.count, workers: workers) { worker, round in
      write(
        chunks[round], scratches[worker], output, above: threshold?.key ?? .max,
        ties: threshold?.keptTies[round] ?? 0, smallest: smallest)
    }
    var total = Written()
    total.layerKept = [Int](repeating: 0, count: states.count)
    for (chunk, part) in zip(chunks, written) {
      total += part
      total.layerKept[chunk.tensor] += part.statistics.kept
    }
    // Without a threshold of all, nothing says what bounds overrule.
    if threshold == nil { total.overruled = (0, 0) }
    return total
  }

  private func write(
    _ chunk: Chunk, _ scratch: Scratch<K>, _ output: MaskOutput<K>, above key: K.Key, ties: Int,
    smallest: K.Key
  ) -> Written {
    var written = Written()
    var left = ties
    let bracket = Bracket<K>(around: key)
    chunk.forEachBlock { block in
      let mask = unsafe output.mask(block)
      let (found, objective) = unsafe selection.scores.classify(
        scratch, block, bracket, into: scratch.mask)
      let overruled = unsafe K.overruled(scratch.mask, mask, count: block.count)
      if found.inside > 0 {
        // Ties are kept only if they are open.
        for i in 0..<block.count where unsafe scratch.mask[i] == 2 {
          let isKept = unsafe mask[i] == 2 && left > 0
          left -= isKept ? 1 : 0
          unsafe scratch.mask[i] = isKept ? 1 : 0
        }
      }
      unsafe K.decide(scratch.mask, count: block.count, top: 1, rest: 0, in: mask)
      let statistics = output.finish(block, found, objective, scratch)
      let equal = unsafe K.ties(scratch.keys, mask, count: block.count, of: smallest)
      written.statistics += statistics
      written.ties = (written.ties.all + equal.all, written.ties.kept + equal.kept)
      written.overruled.kept += overruled.kept
      written.overruled.removed += overruled.removed
    }
    return written
  }
}
