// A selection in one process, and the report about it. What must not live here: which passes find
// the masks (SelectionPasses).

/// A selection: its scores, how many weights it keeps, and the arrays that it writes.
struct MaskSelection: KernelJob {
  var scores: Scores
  var keep: Int
  let masks: [Mask]
  /// The masks of the step before and how many weights they must keep; nil in the first step.
  var previous: (masks: [Mask], keep: Int)?
  /// The dense weights, and the arrays that receive them with removed weights set to zero.
  let applying: (weights: [Tensor], masked: [MutableTensor])?

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let output = output(K.self)
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

  /// The arrays that it writes, and those that it compares with.
  func output<K: BlockKernels>(_: K.Type) -> MaskOutput<K> {
    MaskOutput(masks: masks, previous: previous?.masks, applying: applying)
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
    _ = try checkedPrevious(output, chunks, workers)
    let passes = SelectionPasses(
      scores: scores, keep: keep, chunks: chunks, count: count, workers: workers, output: output)
    let found = try passes.run()
    return report(
      found.selected.statistics, found.selected.threshold, found.selected.layerKept, of: count,
      found.passes)
  }

  /// How many weights of each tensor the previous masks keep; 0 if there are none.
  ///
  /// - Throws: `masksChanged`, if those are not as many as they must keep.
  func checkedPrevious<K: BlockKernels>(
    _ output: MaskOutput<K>, _ chunks: [Chunk], _ workers: Int
  ) throws(SFError) -> [Int] {
    let kept = output.previouslyKept(chunks, workers)
    if let previous {
      let total = kept.reduce(0, +)
      guard total == previous.keep else {
        throw .masksChanged(kept: total, expected: previous.keep)
      }
    }
    return kept
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
    report.objectiveBefore =
      previous == nil && !scores.areDivided ? statistics.scores : statistics.objective
    report.gradientNorm = statistics.squares.squareRoot()
    report.passes = passes
    report.layerKept = layerKept
    return report
  }
}
