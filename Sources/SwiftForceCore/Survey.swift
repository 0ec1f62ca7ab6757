// What is counted and summed of a chunk, for the report and for the checks of a search.

/// Figures of one chunk, or of all when they are added in the order of the chunks.
struct Survey: Sendable {
  var isFinite = true
  var zeros = 0
  var scores = 0.0
  var squares = 0.0
  /// Kept by the previous mask; not counted at a first step.
  var before = 0
  /// Of the new mask.
  var kept = 0
  var removed = 0
  var revived = 0
  /// The sum of the kept scores.
  var saliency = 0.0

  /// Counts and sums a block whose keys have been filled.
  ///
  /// - Parameters:
  ///   - cutoff: scores above it are kept, so far as is known.
  ///   - request: called with 0 ..< `Scores.parts` on the way.
  @inline(__always)
  mutating func add<K: BlockKernels>(
    _ scratch: Scratch<K>, _ count: Int, above cutoff: K.Key, request: (Int) -> Void
  ) {
    request(0)
    unsafe zeros += K.occurrences(of: K.zero, in: scratch.keys, count: count)
    request(1)
    let sums = unsafe K.scoreSums(scratch.keys, count: count, above: cutoff)
    scores += sums.all
    saliency += sums.above
    request(2)
    if let gradients = unsafe scratch.gradients {
      unsafe squares += K.squareSum(gradients, count: count)
    }
    request(3)
  }

  static func += (total: inout Survey, part: Survey) {
    total.isFinite = total.isFinite && part.isFinite
    total.zeros += part.zeros
    total.scores += part.scores
    total.squares += part.squares
    total.before += part.before
    total.kept += part.kept
    total.removed += part.removed
    total.revived += part.revived
    total.saliency += part.saliency
  }
}
