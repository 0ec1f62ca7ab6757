// Which of the weights equal to the threshold are kept if several ranks hold some: those at the
// lowest positions overall. The position of the last one is found digit by digit, like the
// threshold itself, so here, too, ranks exchange histograms and never lists. What must not live
// here: the radix selection over positions (PositionSelect).

/// A search for the last tied weight that is kept, and for how many of the kept ones this rank
/// holds.
struct TiePass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int
  let ranks: Ranks
  /// Weights of all ranks.
  let total: Int

  /// How many of this rank's weights equal to the threshold are kept: the first ones.
  ///
  /// - Throws: what `Ranks.sum` throws.
  /// - Complexity: one pass for the first digit; for each later digit only the part of the tensors
  ///   in the range that is left, 1/2,048 of the range before.
  func keptTies(_ threshold: Threshold<K>) throws(SFError) -> Int {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var last = PositionSelect(rank: threshold.keptTies, of: total)
    var kept = 0
    while !last.isFound {
      let own = histogram(last, threshold.key, scratches)
      let bin = last.narrow(try ranks.sum(own))
      kept += own[..<bin].reduce(0, +)
      if last.isFound { kept += own[bin] }
    }
    return kept
  }

  /// Counts the tied weights of this rank by the next digit of their position.
  private func histogram(
    _ last: PositionSelect, _ key: K.Key, _ scratches: [Scratch<K>]
  ) -> [Int] {
    let histograms = (0..<workers).map { _ in Histogram(bins: last.bins) }
    let (start, end) = (last.first, last.end)
    Parallel.forEach(chunks.count, workers: workers) { worker, round in
      let chunk = chunks[round]
      let placement = ranks.placements[chunk.tensor]
      guard placement.position(of: chunk.start) < end,
        placement.position(of: chunk.start + chunk.count - 1) >= start
      else { return }
      let scratch = scratches[worker]
      chunk.forEachBlock { block in
        guard placement.position(of: block.start) < end,
          placement.position(of: block.start + block.count - 1) >= start
        else { return }
        _ = scores.fill(scratch, for: block)
        placement.forEachRun(from: block.start, count: block.count) { at, position, length in
          let from = max(0, start - position)
          let through = min(length, end - position)
          guard from < through else { return }
          unsafe K.addTies(
            scratch.keys + at + from, count: through - from, of: key,
            offset: position + from - start, shift: last.shift, to: histograms[worker].bins)
        }
      }
    }
    return Histogram.sum(histograms)
  }
}
