// The threshold, digit by digit, with one pass over the tensors per digit. It serves scores that no
// sample brackets. What must not live here: radix selection itself (RadixSelect), and thresholds of
// several ranks (SharedThresholds).

/// A search for the threshold in as many passes as a key has digits.
struct RadixPass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int

  /// - Parameter rank: the rank of the threshold, 1 for the largest score.
  /// - Throws: `nonFinite`.
  func threshold(rank: Int) throws(SFError) -> (threshold: Threshold<K>, passes: Int) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var search = RadixSelect<K>(rank: rank)
    var passes = 0
    while !search.isFound {
      let (bins, areFinite) = histogram(search, scratches)
      if passes == 0, !areFinite { try scores.checkFinite() }
      unsafe search.narrow(bins)
      passes += 1
    }
    return (Threshold(key: search.key, keptTies: search.rank, ties: search.matches), passes)
  }

  /// Counts the next digit of all keys, and returns whether all scores are finite.
  private func histogram(
    _ search: RadixSelect<K>, _ scratches: [Scratch<K>]
  ) -> (bins: [Int], areFinite: Bool) {
    let histograms = (0..<workers).map { _ in Histogram(bins: RadixSelect<K>.bins) }
    let areFinite = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var isFinite = true
      chunks[round].forEachBlock { block in
        isFinite = scores.fill(scratch, for: block) && isFinite
        unsafe search.count(scratch.keys, block.count, into: histograms[worker].bins)
      }
      return isFinite
    }
    return (Histogram.sum(histograms), areFinite.allSatisfy(\.self))
  }
}
