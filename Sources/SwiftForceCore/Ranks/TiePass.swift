// Which of the weights that equal the threshold are kept where several ranks hold them: those at the
// lowest positions of all. The position of the last one is found digit by digit, as the threshold
// is, so the ranks send each other histograms here, too, and never lists.

/// A search for the last of the tied weights that is kept, and for how many of them lie here.
struct TiePass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int
  let ranks: Ranks
  /// Weights of all ranks.
  let total: Int

  /// How many of this rank's weights that equal the threshold are kept: the first ones.
  ///
  /// - Throws: what `Ranks.sum` does.
  /// - Complexity: one reading; of the later digits only what lies in a stretch that 2,048 of fit
  ///   into the one before.
  func quota(_ threshold: Threshold<K>) throws(SFError) -> Int {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var last = PositionRank(rank: threshold.quota, of: total)
    var quota = 0
    while !last.isFound {
      let own = histogram(last, threshold.key, scratches)
      let bin = last.narrow(try ranks.sum(own))
      quota += own[..<bin].reduce(0, +)
      if last.isFound { quota += own[bin] }
    }
    return quota
  }

  /// Counts the tied weights of this rank by the next digit of their position.
  private func histogram(
    _ last: PositionRank, _ key: K.Key, _ scratches: [Scratch<K>]
  ) -> [Int] {
    let histograms = (0..<workers).map { _ in Histogram(bins: last.bins) }
    let (start, end) = (last.first, last.end)
    Parallel.forEach(chunks.count, workers: workers) { worker, round in
      let chunk = chunks[round]
      let origin = ranks.starts[chunk.tensor]
      guard origin + chunk.start < end, origin + chunk.start + chunk.count > start else { return }
      let scratch = scratches[worker]
      chunk.forEachBlock { block in
        let position = origin + block.start
        let from = max(0, start - position)
        let through = min(block.count, end - position)
        guard from < through else { return }
        _ = scores.fill(scratch, for: block)
        unsafe K.addTies(
          scratch.keys + from, count: through - from, of: key, offset: position + from - start,
          shift: last.shift, to: histograms[worker].bins)
      }
    }
    return Histogram.sum(histograms)
  }
}

/// A search for the position of rank `wanted` among some positions, counted from the lowest, which
/// narrows it down by one digit at a time.
struct PositionRank {
  /// Where the stretch begins in which it lies.
  private(set) var first = 0
  private var wanted: Int
  /// Bits that are still to be found.
  private var remaining: Int

  private static let digitBits = 11

  /// - Parameters:
  ///   - rank: 1 for the lowest.
  ///   - count: positions are below it.
  init(rank: Int, of count: Int) {
    wanted = rank
    remaining = Int.bitWidth - (count - 1).leadingZeroBitCount
  }

  var isFound: Bool { remaining == 0 }

  /// Where the stretch ends; not in it.
  var end: Int { first + 1 << remaining }

  /// Counters of the next digit, each of 2 to the power of `shift` positions.
  var bins: Int { 1 << min(PositionRank.digitBits, remaining) }
  var shift: Int { max(0, remaining - PositionRank.digitBits) }

  /// Takes the next digit from the histogram of all positions in the stretch, and returns it.
  mutating func narrow(_ counts: [Int]) -> Int {
    var digit = 0
    while digit < counts.count - 1, counts[digit] < wanted {
      wanted -= counts[digit]
      digit += 1
    }
    first += digit << shift
    remaining = shift
    return digit
  }
}
