// The way for few weights: their keys, read once and kept, are all that the threshold and the masks
// are found from.

/// A selection in one reading that stores the keys.
struct SmallPass<K: BlockKernels> {
  let scores: Scores
  let keep: Int
  let chunks: [Chunk]
  let count: Int
  let output: MaskOutput<K>

  /// So many keys stay in a core's own cache. With those that the search for the threshold copies
  /// they are half a megabyte at most in common cases, and 1.5 where nearly all binary64 scores are
  /// alike.
  static var largestCount: Int { 1 << 16 }

  /// - Throws: `nonFinite`; nothing has been written then.
  func run() throws(SFError) -> (survey: Survey, threshold: Threshold<K>, layerKept: [Int]) {
    var total = Survey()
    let keys = read(&total)
    if !total.isFinite { try scores.checkFinite() }
    let rank = KeyRank<K>.find(keep, in: keys)
    let threshold = Threshold<K>(key: rank.key, quota: rank.wanted, alike: rank.alike)
    let layerKept = write(threshold, keys, &total)
    return (total, threshold, layerKept)
  }

  /// The keys of all weights, in order.
  private func read(_ total: inout Survey) -> [K.Key] {
    let scratch = Scratch<K>()
    return unsafe [K.Key](unsafeUninitializedCapacity: count) { keys, filled in
      guard let base = keys.baseAddress else { return }
      for chunk in chunks {
        var survey = Survey()
        chunk.forEachBlock { block in
          survey.isFinite = scores.fill(scratch, for: block) && survey.isFinite
          survey.add(scratch, block.count, above: K.Key.max) { _ in }
          unsafe (base + block.offset).initialize(from: scratch.keys, count: block.count)
        }
        total += survey
      }
      filled = count
    }
  }

  /// - Returns: how many weights of each tensor are kept.
  private func write(
    _ threshold: Threshold<K>, _ keys: [K.Key], _ total: inout Survey
  ) -> [Int] {
    var layerKept = [Int](repeating: 0, count: output.masks.count)
    var quota = threshold.quota
    unsafe keys.withUnsafeBufferPointer { keys in
      guard let base = keys.baseAddress else { return }
      for chunk in chunks {
        var survey = Survey()
        chunk.forEachBlock { block in
          unsafe output.write(block, base + block.offset, threshold, &quota, &survey)
        }
        total += survey
        layerKept[chunk.tensor] += survey.kept
      }
    }
    return layerKept
  }
}
