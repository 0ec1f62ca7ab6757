// The sure way to the threshold: digit by digit, each from a reading of the tensors. For scores that
// no sample brackets, and for those of several ranks, whose histograms add up.

/// A search for the threshold in as many readings as a key has digits.
struct RadixPass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int

  /// - Parameter ranks: those whose scores compete with these; nil: none.
  /// - Throws: `nonFinite`; with ranks also what `Ranks.sum` does.
  func threshold(
    rank: Int, ranks: Ranks? = nil
  ) throws(SFError) -> (threshold: Threshold<K>, readings: Int) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var rank = KeyRank<K>(rank: rank)
    var readings = 0
    while !rank.isFound {
      var (bins, areFinite) = histogram(rank, scratches)
      let trouble = areFinite || readings > 0 ? nil : scores.trouble
      if let ranks {
        bins = try ranks.sum(bins, unless: trouble)
      } else if let trouble {
        throw trouble
      }
      unsafe rank.narrow(bins)
      readings += 1
    }
    return (Threshold(key: rank.key, quota: rank.wanted, alike: rank.alike), readings)
  }

  /// Counts the next digit of all keys; and whether all scores are finite.
  private func histogram(
    _ rank: KeyRank<K>, _ scratches: [Scratch<K>]
  ) -> (bins: [Int], areFinite: Bool) {
    let histograms = (0..<workers).map { _ in Histogram(bins: KeyRank<K>.bins) }
    let areFinite = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var isFinite = true
      chunks[round].forEachBlock { block in
        isFinite = scores.fill(scratch, for: block) && isFinite
        unsafe rank.count(scratch.keys, block.count, into: histograms[worker].bins)
      }
      return isFinite
    }
    return (Histogram.sum(histograms), areFinite.allSatisfy(\.self))
  }
}
