// The threshold, digit by digit, with one pass over the tensors per digit. It serves scores that no
// sample brackets, and scores of several ranks, whose histograms add up. What must not live here:
// radix selection itself (RadixSelect).

/// A search for the threshold in as many passes as a key has digits.
struct RadixPass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int

  /// - Parameters:
  ///   - rank: the rank of the threshold, 1 for the largest score.
  ///   - ranks: the processes whose scores compete with these; nil: this process alone.
  /// - Throws: `nonFinite`; with ranks also what `Ranks.sum` throws.
  func threshold(
    rank: Int, ranks: Ranks? = nil
  ) throws(SFError) -> (threshold: Threshold<K>, passes: Int) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var search = RadixSelect<K>(rank: rank)
    var passes = 0
    while !search.isFound {
      var (bins, areFinite) = histogram(search, scratches)
      let failure = areFinite || passes > 0 ? nil : scores.nonFiniteError
      if let ranks {
        bins = try ranks.sum(bins, unless: failure)
      } else if let failure {
        throw failure
      }
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
