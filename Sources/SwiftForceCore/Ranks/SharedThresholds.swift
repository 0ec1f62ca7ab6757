// The thresholds of groups of tensors that several ranks hold: for each group the key of a given rank,
// and how many of the weights at that key each rank keeps. What must not live here: radix selection
// itself (RadixSelect, PositionSelect), and which groups there are (SharedSelection, SharedBounds).

/// A search for the thresholds of several groups, digit by digit, for many groups at a time.
///
/// Ranks exchange histograms and never lists: of keys, and, if not all weights at a threshold are
/// kept, of their positions, since those at the lowest positions overall are. A rank sends at most
/// 16 KB per digit and group, whatever the number of weights, tensors and ranks: six digits for
/// binary64 scores, and one for every eleven bits of a position.
struct SharedThresholds<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int
  let ranks: Ranks
  /// Weights of all ranks.
  let total: Int

  /// The threshold of one group.
  struct Found {
    let threshold: Threshold<K>
    /// How many of this rank's weights at the threshold are kept: the first ones; nil: all.
    var ownTies: Int?
  }

  /// Groups whose digits travel in one sum: a histogram of each is up to 16 KB.
  private static var together: Int { 64 }

  /// The size of one histogram of each of so many groups, as far as they travel in one sum.
  static func bytes(_ groups: Int) -> Int {
    min(groups, together) * RadixSelect<K>.bins * MemoryLayout<Int>.size
  }

  /// The chunks of some groups, each with the place of its group among them.
  private typealias Work = [(chunk: Chunk, place: Int)]

  /// - Parameters:
  ///   - demands: of each group, the rank of its threshold; 1 for the largest score.
  ///   - groups: of each tensor of this rank, its group; nil: none.
  /// - Returns: of each group its threshold; and how often a weight was read at most.
  /// - Throws: `nonFinite`; what `Ranks.sum` throws.
  /// - Complexity: one pass over the tensors for each digit of a key; with ties that are not kept one
  ///   more, since each later digit of a position looks at 1/2,048 of the range before.
  func find(
    _ demands: [Int], in groups: [Int?]
  ) throws(SFError) -> (found: [Found], passes: Int) {
    let together = SharedThresholds.together
    var work = [Work](repeating: [], count: (demands.count + together - 1) / together)
    for chunk in chunks {
      guard let group = groups[chunk.tensor] else { continue }
      work[group / together].append((chunk, group % together))
    }
    var found: [Found] = []
    var passes = 0
    for (batch, work) in work.enumerated() {
      let first = batch * together
      let demands = Array(demands[first..<min(demands.count, first + together)])
      let (part, read) = try find(demands, in: work)
      found += part
      passes = max(passes, read)
    }
    return (found, passes)
  }

  private func find(
    _ demands: [Int], in work: Work
  ) throws(SFError) -> (found: [Found], passes: Int) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var searches = demands.map { RadixSelect<K>(rank: $0) }
    var passes = 0
    // All searches have as many digits.
    while let first = searches.first, !first.isFound {
      let (own, areFinite) = keys(searches, work, scratches)
      let failure = areFinite || passes > 0 ? nil : scores.nonFiniteError
      let bins = try ranks.sum(own, unless: failure)
      unsafe bins.withUnsafeBufferPointer { bins in
        guard let start = bins.baseAddress else { return }
        for place in searches.indices {
          unsafe searches[place].narrow(start + place * RadixSelect<K>.bins)
        }
      }
      passes += 1
    }
    var found = searches.map {
      Found(threshold: Threshold(key: $0.key, keptTies: $0.rank, ties: $0.matches))
    }
    let tied = found.indices.filter { found[$0].threshold.keptTies < found[$0].threshold.ties }
    if !tied.isEmpty {
      let kept = try keptTies(tied.map { found[$0].threshold }, renumbered(work, tied), scratches)
      for (place, count) in zip(tied, kept) { found[place].ownTies = count }
      passes += 1
    }
    return (found, passes)
  }

  /// The chunks of some of the groups.
  private func renumbered(_ work: Work, _ groups: [Int]) -> Work {
    let places = Dictionary(uniqueKeysWithValues: groups.enumerated().map { ($1, $0) })
    return work.compactMap { part in places[part.place].map { (part.chunk, $0) } }
  }

  /// Counts the next digit of all keys, one histogram after the other, and returns whether all
  /// scores are finite.
  private func keys(
    _ searches: [RadixSelect<K>], _ work: Work, _ scratches: [Scratch<K>]
  ) -> (bins: [Int], areFinite: Bool) {
    let size = RadixSelect<K>.bins
    let histograms = (0..<workers).map { _ in Histogram(bins: searches.count * size) }
    let areFinite = Parallel.map(work.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      let (chunk, place) = work[round]
      var isFinite = true
      chunk.forEachBlock { block in
        isFinite = scores.fill(scratch, for: block) && isFinite
        unsafe searches[place].count(
          scratch.keys, block.count, into: histograms[worker].bins + place * size)
      }
      return isFinite
    }
    return (Histogram.sum(histograms), areFinite.allSatisfy(\.self))
  }

  // MARK: Ties

  /// How many of the weights at the threshold of its group each chunk keeps; without a group, 0.
  ///
  /// - Complexity: one pass over the chunks of groups that do not keep all.
  func keptTies(_ found: [Found], in groups: [Int?]) -> [Int] {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let counts = Parallel.map(chunks.count, workers: workers) { worker, round in
      let chunk = chunks[round]
      guard let group = groups[chunk.tensor], found[group].ownTies != nil else { return 0 }
      let bracket = Bracket<K>(around: found[group].threshold.key)
      let scratch = scratches[worker]
      var count = 0
      chunk.forEachBlock { block in
        count += unsafe scores.classify(scratch, block, bracket, into: scratch.mask).found.inside
      }
      return count
    }
    var left = found.map(\.ownTies)
    return zip(chunks, counts).map { chunk, count in
      guard let group = groups[chunk.tensor] else { return 0 }
      guard let own = left[group] else { return .max }
      let kept = min(own, count)
      left[group] = own - kept
      return kept
    }
  }

  /// Of each group how many of this rank's weights at the threshold are kept.
  private func keptTies(
    _ thresholds: [Threshold<K>], _ work: Work, _ scratches: [Scratch<K>]
  ) throws(SFError) -> [Int] {
    var last = thresholds.map { PositionSelect(rank: $0.keptTies, of: total) }
    var kept = thresholds.map { _ in 0 }
    // All searches have as many digits.
    while let first = last.first, !first.isFound {
      let own = positions(last, thresholds.map(\.key), work, scratches)
      let sums = try ranks.sum(own)
      for place in last.indices {
        let range = place * first.bins..<(place + 1) * first.bins
        let bin = last[place].narrow(Array(sums[range]))
        let through = range.lowerBound + bin + (last[place].isFound ? 1 : 0)
        kept[place] += own[range.lowerBound..<through].reduce(0, +)
      }
    }
    return kept
  }

  /// Counts the tied weights of this rank by the next digit of their position.
  private func positions(
    _ last: [PositionSelect], _ keys: [K.Key], _ work: Work, _ scratches: [Scratch<K>]
  ) -> [Int] {
    let size = last.first?.bins ?? 0
    let histograms = (0..<workers).map { _ in Histogram(bins: last.count * size) }
    Parallel.forEach(work.count, workers: workers) { worker, round in
      let (chunk, place) = work[round]
      let bins = unsafe histograms[worker].bins + place * size
      unsafe count(chunk, last[place], keys[place], scratches[worker], into: bins)
    }
    return Histogram.sum(histograms)
  }

  private func count(
    _ chunk: Chunk, _ last: PositionSelect, _ key: K.Key, _ scratch: Scratch<K>,
    into bins: UnsafeMutablePointer<Int>
  ) {
    let placement = ranks.placements[chunk.tensor]
    func isInRange(_ start: Int, _ count: Int) -> Bool {
      placement.position(of: start) < last.end
        && placement.position(of: start + count - 1) >= last.first
    }
    guard isInRange(chunk.start, chunk.count) else { return }
    chunk.forEachBlock { block in
      guard isInRange(block.start, block.count) else { return }
      _ = scores.fill(scratch, for: block)
      placement.forEachRun(from: block.start, count: block.count) { at, position, length in
        let from = max(0, last.first - position)
        let through = min(length, last.end - position)
        guard from < through else { return }
        unsafe K.addTies(
          scratch.keys + at + from, count: through - from, of: key,
          offset: position + from - last.first, shift: last.shift, to: bins)
      }
    }
  }
}
