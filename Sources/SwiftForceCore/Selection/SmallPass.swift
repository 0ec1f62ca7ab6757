// The threshold of few weights: one pass stores all keys, and radix selection finds the threshold
// among them. What must not live here: radix selection itself (RadixSelect).

/// A search for the threshold in one pass.
struct SmallPass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let count: Int

  /// - Throws: `nonFinite`.
  func threshold(rank: Int) throws(SFError) -> (threshold: Threshold<K>, passes: Int) {
    var isFinite = true
    let keys = keys(&isFinite)
    if !isFinite { try scores.checkFinite() }
    let found = RadixSelect<K>.find(rank, in: [keys])
    return (Threshold(key: found.key, keptTies: found.rank, ties: found.matches), 1)
  }

  /// The keys of all weights, in order.
  private func keys(_ isFinite: inout Bool) -> [K.Key] {
    let scratch = Scratch<K>()
    return unsafe [K.Key](unsafeUninitializedCapacity: count) { keys, filled in
      guard let base = keys.baseAddress else { return }
      for chunk in chunks {
        chunk.forEachBlock { block in
          isFinite = scores.fill(scratch, for: block) && isFinite
          unsafe (base + block.offset).initialize(from: scratch.keys, count: block.count)
        }
      }
      filled = count
    }
  }
}
