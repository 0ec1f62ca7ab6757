// The sure way: the threshold digit by digit, each from a reading of the tensors, and a last reading
// that writes the masks. For scores that no bracket settles, and for weights that are too many for
// their keys to be kept and too few for a bracket.

/// A selection in as many readings as a key has digits, and two more.
struct RadixPass<K: BlockKernels> {
  let scores: Scores
  let keep: Int
  let chunks: [Chunk]
  let workers: Int
  let output: MaskOutput<K>

  /// - Throws: `nonFinite`; nothing has been written then.
  func run() throws(SFError) -> (
    survey: Survey, threshold: Threshold<K>, layerKept: [Int], readings: Int
  ) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var rank = KeyRank<K>(rank: keep)
    var total = Survey()
    var readings = 0
    while !rank.isFound {
      let (bins, survey) = histogram(rank, scratches, surveys: readings == 0)
      if readings == 0 {
        total = survey
        if !total.isFinite { try scores.checkFinite() }
      }
      unsafe rank.narrow(bins)
      readings += 1
    }
    let threshold = Threshold<K>(key: rank.key, quota: rank.wanted, alike: rank.alike)
    let parts = write(threshold, quotas(threshold, scratches), scratches)
    var layerKept = [Int](repeating: 0, count: output.masks.count)
    for (chunk, part) in zip(chunks, parts) {
      total += part
      layerKept[chunk.tensor] += part.kept
    }
    return (total, threshold, layerKept, readings + (chunks.count > 1 ? 2 : 1))
  }

  /// Counts the next digit of all keys; at the first reading, all else that the report tells, too.
  private func histogram(
    _ rank: KeyRank<K>, _ scratches: [Scratch<K>], surveys: Bool
  ) -> (bins: [Int], survey: Survey) {
    let histograms = (0..<workers).map { _ in Histogram(bins: KeyRank<K>.bins) }
    let parts = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var survey = Survey()
      chunks[round].forEachBlock { block in
        survey.isFinite = scores.fill(scratch, for: block) && survey.isFinite
        if surveys { survey.add(scratch, block.count, above: K.Key.max) { _ in } }
        unsafe rank.count(scratch.keys, block.count, into: histograms[worker].bins)
      }
      return survey
    }
    var total = Survey()
    for part in parts { total += part }
    return (Histogram.sum(histograms), total)
  }

  /// How many of the keys that equal the threshold each chunk keeps: the first ones of all.
  private func quotas(_ threshold: Threshold<K>, _ scratches: [Scratch<K>]) -> [Int] {
    guard chunks.count > 1, threshold.quota < threshold.alike else {
      return [Int](repeating: threshold.quota, count: chunks.count)
    }
    let ties = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var count = 0
      chunks[round].forEachBlock { block in
        _ = scores.fill(scratch, for: block)
        unsafe count += K.occurrences(of: threshold.key, in: scratch.keys, count: block.count)
      }
      return count
    }
    var rest = threshold.quota
    return ties.map { count in
      let quota = min(count, rest)
      rest -= quota
      return quota
    }
  }

  private func write(
    _ threshold: Threshold<K>, _ quotas: [Int], _ scratches: [Scratch<K>]
  ) -> [Survey] {
    Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var survey = Survey()
      var quota = quotas[round]
      chunks[round].forEachBlock { block in
        _ = scores.fill(scratch, for: block)
        unsafe output.write(block, scratch.keys, threshold, &quota, &survey)
      }
      return survey
    }
  }
}

extension MaskOutput {
  /// Writes a block of the masks, and what follows from it, from the block's keys.
  ///
  /// - Parameter quota: how many more keys that equal the threshold are kept; lowered by those here.
  @inline(__always)
  func write(
    _ block: Block, _ keys: UnsafePointer<K.Key>, _ threshold: Threshold<K>, _ quota: inout Int,
    _ survey: inout Survey
  ) {
    let mask = unsafe mask(block)
    let alike = unsafe K.occurrences(of: threshold.key, in: keys, count: block.count)
    let ties = min(alike, quota)
    let kept: Int
    if ties == 0 || ties == alike {
      // All keys that equal the threshold go the same way: a bracket with nothing inside it.
      let high = ties == 0 ? threshold.key : threshold.key &- 1
      unsafe kept =
        K.classify(keys, count: block.count, low: high &+ 1, high: high, into: mask)
        .above
      quota -= ties
    } else {
      unsafe K.decide(
        keys, count: block.count, threshold: threshold.key, quota: &quota, into: mask)
      unsafe kept = K.kept(mask, count: block.count)
    }
    let sums = unsafe K.scoreSums(keys, count: block.count, above: threshold.key)
    survey.saliency += sums.above + Double(ties) * Double(K.score(of: threshold.key))
    survey.kept += kept
    follow(block, kept: kept, isRewritten: true, &survey)
  }
}

/// The counters of one worker.
@safe private final class Histogram {
  let bins: UnsafeMutablePointer<Int>
  private let count: Int

  init(bins count: Int) {
    self.count = count
    unsafe bins = UnsafeMutablePointer.allocate(capacity: count)
    unsafe bins.initialize(repeating: 0, count: count)
  }

  deinit { unsafe bins.deallocate() }

  static func sum(_ parts: [Histogram]) -> [Int] {
    guard let first = parts.first else { return [] }
    var total = unsafe Array(UnsafeBufferPointer(start: first.bins, count: first.count))
    for part in parts.dropFirst() {
      for bin in 0..<first.count { total[bin] += unsafe part.bins[bin] }
    }
    return total
  }
}
