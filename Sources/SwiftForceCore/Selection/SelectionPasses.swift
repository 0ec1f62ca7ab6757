// Which passes find the best weights of some tensors: one if a sample brackets the threshold, else
// more. What must not live here: the passes themselves (SinglePass, SmallPass, RadixPass).

/// A search for the `keep` best weights of some chunks.
struct SelectionPasses<K: BlockKernels> {
  let scores: Scores
  let keep: Int
  let chunks: [Chunk]
  /// The number of weights in the chunks.
  let count: Int
  let workers: Int
  /// What is written; nil: nothing.
  let output: MaskOutput<K>?

  /// - Returns: what was selected, and how often the tensors were read.
  /// - Throws: `nonFinite`, `arraysChanged`.
  func run() throws(SFError) -> (selected: SinglePass<K>.Selected, passes: Int) {
    // Less than 2% of the tensors, if they are large.
    let least = 1 << 15
    let capacity =
      count < least ? least : max(least, scores.bytes / 64 / SinglePass<K>.listedSize)
    var output = output
    var passes = 0
    func select(_ bracket: Bracket<K>) throws(SFError) -> SinglePass<K>.Result {
      output?.isMaskedStale = passes > 0
      passes += 1
      let pass = SinglePass(
        scores: scores, request: .count(keep), chunks: chunks, workers: workers, output: output,
        bracket: bracket, capacity: capacity)
      return try pass.run()
    }

    var tiedKey: K.Key?
    if count >= Bracket<K>.minimumCount {
      let bracket = Bracket<K>(
        scores, chunks: chunks, keep: keep, count: count, capacity: capacity, workers: workers)
      switch try select(bracket) {
      case .selected(let found): return (found, passes)
      case .thresholdIsAbove: tiedKey = bracket.tiedKeyAbove
      case .thresholdIsBelow: tiedKey = bracket.tiedKeyBelow
      case .exceedsCapacity: break
      }
      if let tiedKey, case .selected(let found) = try select(Bracket(around: tiedKey)) {
        return (found, passes)
      }
    }
    let exact =
      count < Bracket<K>.minimumCount
      ? try SmallPass<K>(scores: scores, chunks: chunks, count: count).threshold(rank: keep)
      : try RadixPass<K>(scores: scores, chunks: chunks, workers: workers).threshold(rank: keep)
    let key = exact.threshold.key
    guard key > K.excluded, case .selected(let found) = try select(Bracket(around: key))
    else {
      throw .arraysChanged
    }
    return (found, passes + exact.passes)
  }
}
