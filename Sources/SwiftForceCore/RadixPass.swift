// The sure way: the threshold digit by digit, each from a reading of the tensors, and a last reading
// that writes the masks. For few weights, which stay in the cache, and for scores that no bracket
// settles.

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
      rank.narrow(bins)
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
        let mask = unsafe output.mask(block)
        let before = quota
        unsafe K.decide(
          scratch.keys, count: block.count, threshold: threshold.key, quota: &quota, into: mask)
        let ties = before - quota
        let sums = unsafe K.scoreSums(scratch.keys, count: block.count, above: threshold.key)
        survey.saliency += sums.above + Double(ties) * Double(K.score(of: threshold.key))
        let kept = unsafe K.kept(mask, count: block.count)
        survey.kept += kept
        output.follow(block, kept: kept, isRewritten: true, &survey)
      }
      return survey
    }
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
