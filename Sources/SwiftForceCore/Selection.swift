// The exact global top-k over a list of tensors, streaming: scores are computed a block at a time
// and never stored. What must not live here: what a score is (ScoreSource) or how many weights to
// keep (Keep, Schedule).

import SwiftForceKernels

/// Keeping the k best of all weights.
///
/// Order: larger score first, then lower position (tensors in the order given, elements in memory
/// order). Exactly k are kept; -0 equals +0. Whatever can fail fails before anything is written.
///
/// The threshold is found digit by digit of its key, from the top (a radix histogram of 11, 11 and
/// 10 bits); the pass that follows writes the mask. Histograms of parts add up to that of the
/// whole, whatever the parts.
///
/// - Complexity: four readings of the tensors, O(1) extra memory.
public enum Selection {
  /// Selects among the caller's scores, which may be negative.
  ///
  /// - Parameters:
  ///   - masks: one per tensor of scores and of its size; written.
  /// - Throws: `badCount`, `badKeep`, `sizeMismatch`, `nonFinite`.
  public static func select(
    _ scores: [Tensor], keep: Int, into masks: [Mask]
  ) throws(SFError) -> Report {
    let sizes = scores.map(\.count)
    try Keep.check(keep, of: try total(sizes))
    try checkSizes(masks.map(\.count), sizes, .masks)
    return try select(
      from: ScoreSource(given: scores), keep: keep,
      writing: MaskWriter(masks: masks, isFirst: true, applying: nil))
  }

  /// Writes the score of every weight.
  ///
  /// - Parameters:
  ///   - gradients: one per tensor of weights and of its size; nil where the saliency reads none.
  ///   - scores: likewise; written.
  ///   - seed: for the random saliency.
  /// - Throws: `badCount`, `sizeMismatch`, `missingGradients`, `nonFinite`.
  public static func score(
    _ saliency: Saliency, weights: [Tensor], gradients: [Tensor]?, seed: UInt64,
    into scores: [MutableTensor]
  ) throws(SFError) {
    let sizes = weights.map(\.count)
    _ = try total(sizes)
    if let gradients { try checkSizes(gradients.map(\.count), sizes, .gradients) }
    try checkSizes(scores.map(\.count), sizes, .scores)
    let source = try ScoreSource(
      saliency, weights: weights, gradients: gradients, candidates: nil, seed: seed)
    if !saliency.readsWeights { try checkFinite(weights) }
    let keys = KeyBuffer()
    // Two passes, so that an error leaves the scores unwritten.
    var areFinite = true
    try source.forEachBlock { (block) throws(SFError) in
      areFinite = source.fill(keys, for: block) && areFinite
    }
    if !areFinite { try checkFinite(source) }
    try source.forEachBlock { (block) throws(SFError) in
      _ = source.fill(keys, for: block)
      unsafe ScoreKeys.scores(
        of: keys.base, count: block.range.count,
        into: scores[block.tensor].floats + block.range.lowerBound)
    }
  }

  /// Finds the threshold, then writes the mask. The caller has checked every size.
  static func select(
    from source: ScoreSource, keep: Int, writing writer: MaskWriter
  ) throws(SFError) -> Report {
    let keys = KeyBuffer()
    var report = Report()
    report.keep = keep
    let threshold = try Threshold.find(keep, in: source, keys, &report)
    try writer.write(source, threshold, keys, &report)
    return report
  }

  /// The number of weights in tensors of these sizes.
  static func total(_ sizes: [Int]) throws(SFError) -> Int {
    var total = 0
    for size in sizes {
      let (sum, overflow) = total.addingReportingOverflow(size)
      guard size >= 0, !overflow else { throw .badCount(size) }
      total = sum
    }
    guard total >= 1, total <= Keep.largestCount else { throw .badCount(total) }
    return total
  }

  static func checkSizes(
    _ sizes: [Int], _ expected: [Int], _ operand: Operand
  ) throws(SFError) {
    guard sizes.count == expected.count else {
      throw .sizeMismatch(operand, tensor: nil, got: sizes.count, expected: expected.count)
    }
    for (i, (size, wanted)) in zip(sizes, expected).enumerated() where size != wanted {
      throw .sizeMismatch(operand, tensor: i, got: size, expected: wanted)
    }
  }

  static func checkFinite(_ weights: [Tensor]) throws(SFError) {
    if let found = FiniteCheck.first(in: weights, as: .weights) { throw .nonFinite(found) }
  }

  /// Asks a source of which something is not finite whether that matters.
  static func checkFinite(_ source: ScoreSource) throws(SFError) {
    if let found = source.nonFinite() { throw .nonFinite(found) }
  }
}

/// The smallest kept score, as a key, and how many of the keys that equal it are kept.
struct Threshold {
  let key: UInt32
  let quota: Int

  /// The digits of a key, from the top: how far to shift, and how many bits.
  private static let digits: [(shift: UInt32, bits: UInt32)] = [(21, 11), (10, 11), (0, 10)]

  /// Finds the key of the `keep`-th best candidate, and fills in what a report says of candidates
  /// and of the threshold.
  static func find(
    _ keep: Int, in source: ScoreSource, _ keys: KeyBuffer, _ report: inout Report
  ) throws(SFError) -> Threshold {
    var survey = Survey()
    var areFinite = true
    var key: UInt32 = 0
    var known: UInt32 = 0
    var wanted = keep
    for (position, digit) in digits.enumerated() {
      let mask = (1 << digit.bits) - 1 as UInt32
      var bins = [Int](repeating: 0, count: Int(mask) + 1)
      try source.forEachBlock { (block) throws(SFError) in
        let isFinite = source.fill(keys, for: block)
        areFinite = areFinite && isFinite
        if position == 0 { survey.add(keys, block, gradients: source.gradients) }
        unsafe bins.withUnsafeMutableBufferPointer { bins in
          guard let base = bins.baseAddress else { return }
          unsafe KeyCounts.addHistogram(
            keys.base, count: block.range.count, prefix: key, prefixMask: known,
            shift: digit.shift, digitMask: mask, to: base)
        }
      }
      if position == 0, !areFinite { try Selection.checkFinite(source) }
      let (value, above) = bucket(of: wanted, in: bins)
      wanted -= above
      key |= UInt32(value) << digit.shift
      known |= mask << digit.shift
      report.atThreshold = bins[value]
    }
    survey.fill(&report)
    report.keptAtThreshold = wanted
    report.threshold = Double(ScoreKeys.score(of: key))
    return Threshold(key: key, quota: wanted)
  }

  /// The bin that holds the `rank`-th largest key, and how many keys lie in the bins above it.
  private static func bucket(of rank: Int, in bins: [Int]) -> (bin: Int, above: Int) {
    var above = 0
    for bin in bins.indices.reversed() {
      if above + bins[bin] >= rank { return (bin, above) }
      above += bins[bin]
    }
    return (0, above)
  }
}

/// What the first reading of all scores counts and sums for the report.
private struct Survey {
  private var candidates = 0
  private var zeros = 0
  private var scores = 0.0
  private var squares = 0.0

  mutating func add(_ keys: KeyBuffer, _ block: Block, gradients: [Tensor]?) {
    let count = block.range.count
    let excluded = unsafe KeyCounts.occurrences(
      of: ScoreKeys.excluded, in: keys.base, count: count)
    candidates += count - excluded
    unsafe zeros += KeyCounts.occurrences(of: ScoreKeys.zero, in: keys.base, count: count)
    unsafe scores += KeyCounts.scoreSum(keys.base, count: count, from: ScoreKeys.excluded + 1)
    if let gradient = gradients?[block.tensor] {
      unsafe squares += KeyCounts.squareSum(
        gradient.floats + block.range.lowerBound, count: count)
    }
  }

  func fill(_ report: inout Report) {
    report.candidates = candidates
    report.zeroScores = zeros
    report.totalSaliency = scores
    report.gradientNorm = squares.squareRoot()
  }
}

/// Where a selection goes: the masks, and the masked weights where somebody wants them.
struct MaskWriter {
  let masks: [Mask]
  /// Every weight was kept before; the masks hold nothing yet.
  let isFirst: Bool
  /// The dense weights, and where they go with those removed replaced by zero.
  let applying: (weights: [Tensor], masked: [MutableTensor])?

  func write(
    _ source: ScoreSource, _ threshold: Threshold, _ keys: KeyBuffer, _ report: inout Report
  ) throws(SFError) {
    var quota = threshold.quota
    var saliency = 0.0
    var removed = 0
    var revived = 0
    var layerKept = [Int](repeating: 0, count: masks.count)
    try source.forEachBlock { (block) throws(SFError) in
      _ = source.fill(keys, for: block)
      let count = block.range.count
      let start = block.range.lowerBound
      let before = quota
      let mask = unsafe masks[block.tensor].base + start
      let change = unsafe MaskBlocks.write(
        keys.base, count: count, threshold: threshold.key, quota: &quota, isFirst: isFirst,
        mask: mask)
      removed += change.removed
      revived += change.revived
      layerKept[block.tensor] += change.kept
      unsafe saliency += KeyCounts.scoreSum(keys.base, count: count, from: threshold.key + 1)
      saliency += Double(before - quota) * Double(ScoreKeys.score(of: threshold.key))
      guard let applying else { return }
      unsafe MaskBlocks.apply(
        mask, to: applying.weights[block.tensor].floats + start, count: count,
        into: applying.masked[block.tensor].floats + start)
    }
    report.saliency = saliency
    report.removed = removed
    report.revived = revived
    report.layerKept = layerKept
  }
}
