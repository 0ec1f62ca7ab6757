// The sure way to the threshold: digit by digit, each from a reading of the tensors. For scores that
// no sample brackets.

/// A search for the threshold in as many readings as a key has digits.
struct RadixPass<K: BlockKernels> {
  let scores: Scores
  let chunks: [Chunk]
  let workers: Int

  /// - Throws: `nonFinite`.
  func threshold(rank: Int) throws(SFError) -> (key: K.Key, readings: Int) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    var rank = KeyRank<K>(rank: rank)
    var readings = 0
    while !rank.isFound {
      let (bins, areFinite) = histogram(rank, scratches)
      if !areFinite && readings == 0 { try scores.checkFinite() }
      unsafe rank.narrow(bins)
      readings += 1
    }
    return (rank.key, readings)
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
