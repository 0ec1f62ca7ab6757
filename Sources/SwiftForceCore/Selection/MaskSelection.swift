// A selection in one process: which passes find the masks, and the report about them. What must not
// live here: the passes themselves (SinglePass, SmallPass, RadixPass).

/// A selection: its scores, how many weights it keeps, and the arrays that it writes.
struct MaskSelection: KernelJob {
  var scores: Scores
  let keep: Int
  let masks: [Mask]
  /// The masks of the step before and how many weights they must keep; nil in the first step.
  let previous: (masks: [Mask], keep: Int)?
  /// The dense weights, and the arrays that receive them with removed weights set to zero.
  let applying: (weights: [Tensor], masked: [MutableTensor])?

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let output = MaskOutput<K>(masks: masks, previous: previous?.masks, applying: applying)
    do throws(SFError) {
      let report = try select(output, threads)
      storeAccumulated(K.self, threads)
      return report
    } catch {
      switch error {
      case .nonFinite, .arraysChanged: output.restore()
      default: break  // Thrown before anything is written.
      }
      throw error
    }
  }

  /// Stores the accumulated scores, which ends a step that has succeeded.
  func storeAccumulated<K: BlockKernels>(_: K.Type, _ threads: Int) {
    let chunks = Chunk.all(of: scores.sizes)
    let workers = workers(threads, chunks, scores.sizes.reduce(0, +))
    scores.storeAccumulated(K.self, chunks: chunks, workers: workers)
  }

  private func select<K: BlockKernels>(
    _ output: MaskOutput<K>, _ threads: Int
  ) throws(SFError) -> Report {
    let sizes = scores.sizes
    let count = sizes.reduce(0, +)
    let chunks = Chunk.all(of: sizes)
    let workers = workers(threads, chunks, count)
    if let expected = previous?.keep {
      let kept = output.previouslyKept(chunks, workers)
      guard kept == expected else { throw .masksChanged(kept: kept, expected: expected) }
    }
    // Less than 2% of the tensors, if they are large.
    let capacity = max(1 << 15, scores.bytes / 64 / SinglePass<K>.listedSize)
    var output = output
    var passes = 0
    func select(_ bracket: Bracket<K>) throws(SFError) -> SinglePass<K>.Result {
      output.isMaskedStale = passes > 0
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
      case .selected(let found):
        return report(found.statistics, found.threshold, found.layerKept, of: count, passes)
      case .thresholdIsAbove: tiedKey = bracket.tiedKeyAbove
      case .thresholdIsBelow: tiedKey = bracket.tiedKeyBelow
      case .exceedsCapacity: break
      }
      if let tiedKey, case .selected(let found) = try select(Bracket(around: tiedKey)) {
        return report(found.statistics, found.threshold, found.layerKept, of: count, passes)
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
    return report(
      found.statistics, found.threshold, found.layerKept, of: count, passes + exact.passes)
  }

  /// - Parameters:
  ///   - layerKept: how many weights each tensor of this rank keeps.
  ///   - count: the number of weights in all tensors of all ranks.
  func report<K: BlockKernels>(
    _ statistics: Statistics, _ threshold: Threshold<K>, _ layerKept: [Int], of count: Int,
    _ passes: Int
  ) -> Report {
    var report = Report()
    report.keep = keep
    report.candidates = scores.areNested ? previous?.keep ?? count : count
    report.removed = previous == nil ? count - keep : statistics.removed
    report.revived = statistics.revived
    report.zeroScores = statistics.zeros
    report.atThreshold = threshold.ties
    report.keptAtThreshold = threshold.keptTies
    report.threshold = Double(K.score(of: threshold.key))
    report.saliency = statistics.saliency
    report.totalSaliency = statistics.scores
    report.objectiveBefore = previous == nil ? statistics.scores : statistics.objective
    report.gradientNorm = statistics.squares.squareRoot()
    report.passes = passes
    report.layerKept = layerKept
    return report
  }
}
