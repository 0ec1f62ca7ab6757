// The threshold of few weights: their keys, read once and stored, are all that it is found from.

/// A search for the threshold in one reading.
struct SmallPass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let count: Int

  /// - Throws: `nonFinite`.
  func threshold(rank: Int) throws(SFError) -> (threshold: Threshold<K>, readings: Int) {
    var isFinite = true
    let keys = read(&isFinite)
    if !isFinite { try scores.checkFinite() }
    let found = KeyRank<K>.find(rank, in: [keys])
    return (Threshold(key: found.key, quota: found.wanted, alike: found.alike), 1)
  }

  /// The keys of all weights, in order.
  private func read(_ isFinite: inout Bool) -> [K.Key] {
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
