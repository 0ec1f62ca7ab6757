// The exact global top-k over a list of tensors, streaming: scores are computed a block at a time
// and never stored. What must not live here: what a score is (Scores), how many weights to keep
// (Keep, Schedule), or how the readings go (SmallPass, SinglePass, RadixPass).

import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// Keeping the k best of all weights.
///
/// Order: larger score first, then lower position (tensors in the order given, elements in memory
/// order). Exactly k are kept; -0 equals +0. Scores are binary32, or binary64 where an array that
/// is read holds binary64. The mask is the same for any number of threads and every CPU level.
///
/// - Complexity: one reading of the tensors where the scores allow it, else one per digit of a key
///   and three more at most; extra memory of at most 2% of the tensors where they are large.
public enum Selection {
  /// Selects among the caller's scores, which may be negative.
  ///
  /// - Parameters:
  ///   - masks: one per tensor of scores and of its size; written. Their contents are not specified
  ///     after `nonFinite` and `arraysChanged`.
  /// - Throws: `badCount`, `badKeep`, `sizeMismatch`, `nonFinite`, `arraysChanged`,
  ///   `badEnvironment`.
  public static func select(
    _ scores: [Tensor], keep: Int, into masks: [Mask]
  ) throws(SFError) -> Report {
    let sizes = scores.map(\.count)
    try Keep.check(keep, of: try total(sizes))
    try checkSizes(masks.map(\.count), sizes, .masks)
    return try select(
      from: Scores(given: scores), keep: keep, masks: masks, previous: nil, applying: nil)
  }

  /// Writes the score of every weight.
  ///
  /// - Parameters:
  ///   - gradients: one per tensor of weights and of its size; nil where the saliency reads none.
  ///   - scores: likewise, of the type that scores are computed in; not specified after
  ///     `nonFinite`.
  ///   - seed: for the random saliency.
  /// - Throws: `badCount`, `sizeMismatch`, `missingGradients`, `nonFinite`, `badEnvironment`,
  ///   `badType`.
  public static func score(
    _ saliency: Saliency, weights: [Tensor], gradients: [Tensor]?, seed: UInt64,
    into scores: [MutableTensor]
  ) throws(SFError) {
    let sizes = weights.map(\.count)
    _ = try total(sizes)
    if let gradients { try checkSizes(gradients.map(\.count), sizes, .gradients) }
    try checkSizes(scores.map(\.count), sizes, .scores)
    let source = try Scores(
      saliency, weights: weights, gradients: gradients, candidates: nil, seed: seed)
    let type: ElementType = source.areWide ? .float64 : .float32
    try checkTypes(scores.map(\.type), scores.map { _ in type }, .scores)
    if !saliency.readsWeights { try checkFinite(weights) }
    let writing = ScoreWriting(source: source, targets: scores)
    try run(writing, wide: source.areWide)
  }

  /// Selects among the scores of a source. The caller has checked every size.
  ///
  /// - Parameters:
  ///   - previous: the masks of the step before, and how many weights they must keep.
  ///   - applying: the dense weights, and where they go with the removed ones replaced by zero.
  ///   - level, threads: those in use, if none are given.
  static func select(
    from scores: Scores, keep: Int, masks: [Mask], previous: (masks: [Mask], keep: Int)?,
    applying: (weights: [Tensor], masked: [MutableTensor])?, level: CPULevel? = nil,
    threads: Int? = nil
  ) throws(SFError) -> Report {
    try run(
      MaskSelection(
        scores: scores, keep: keep, masks: masks, previous: previous, applying: applying),
      wide: scores.areWide, level: level, threads: threads)
  }

  /// Runs a job with the loops of the CPU level in use, for scores of the width asked for.
  static func run<Job: KernelJob>(
    _ job: Job, wide: Bool, level: CPULevel? = nil, threads: Int? = nil
  ) throws(SFError) -> Job.Result {
    let level = if let level { level } else { try CPULevel.current() }
    let threads = if let threads { threads } else { try Threads.current() }
    #if arch(x86_64)
      switch level {
      case .v4:
        return wide
          ? try job.run(SwiftForceKernelsV4.Blocks<Double>.self, threads)
          : try job.run(SwiftForceKernelsV4.Blocks<Float>.self, threads)
      case .v3:
        return wide
          ? try job.run(SwiftForceKernelsV3.Blocks<Double>.self, threads)
          : try job.run(SwiftForceKernelsV3.Blocks<Float>.self, threads)
      case .v2: break
      }
    #endif
    return wide
      ? try job.run(SwiftForceKernels.Blocks<Double>.self, threads)
      : try job.run(SwiftForceKernels.Blocks<Float>.self, threads)
  }

  /// The number of weights in tensors of these sizes: one at least.
  static func total(_ sizes: [Int]) throws(SFError) -> Int {
    let total = try sum(sizes)
    guard total >= 1, total <= Keep.largestCount else { throw .badCount(total) }
    return total
  }

  static func sum(_ sizes: [Int]) throws(SFError) -> Int {
    var total = 0
    for size in sizes {
      let (sum, overflow) = total.addingReportingOverflow(size)
      guard size >= 0, !overflow else { throw .badCount(size) }
      total = sum
    }
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

  static func checkTypes(
    _ types: [ElementType], _ expected: [ElementType], _ operand: Operand
  ) throws(SFError) {
    for (i, (type, wanted)) in zip(types, expected).enumerated() where type != wanted {
      throw .badType(operand, tensor: i, got: type, expected: wanted)
    }
  }

  static func checkFinite(_ weights: [Tensor]) throws(SFError) {
    if let found = FiniteCheck.first(in: weights, as: .weights) { throw .nonFinite(found) }
  }
}

/// Work that is written once for the loops of every CPU level and both types of scores.
protocol KernelJob {
  associatedtype Result
  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Result
}

extension KernelJob {
  /// As many workers as have enough to do to be worth starting.
  func workers(_ threads: Int, _ chunks: [Chunk], _ count: Int) -> Int {
    max(1, min(threads, chunks.count, count / Chunk.largestCount))
  }
}

/// A selection, of what and to where.
struct MaskSelection: KernelJob {
  var scores: Scores
  let keep: Int
  let masks: [Mask]
  let previous: (masks: [Mask], keep: Int)?
  let applying: (weights: [Tensor], masked: [MutableTensor])?

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let output = MaskOutput<K>(masks: masks, previous: previous?.masks, applying: applying)
    do throws(SFError) {
      return try select(output, threads)
    } catch {
      switch error {
      case .nonFinite, .arraysChanged: output.restore()
      default: break  // Thrown before anything is written.
      }
      throw error
    }
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
    let most = max(1 << 15, scores.bytes / 64 / SinglePass<K>.listedSize)
    var output = output
    var readings = 0
    func read(_ bracket: Bracket<K>) throws(SFError) -> SinglePass<K>.Outcome {
      output.isSpoiled = readings > 0
      readings += 1
      let pass = SinglePass(
        scores: scores, goal: .keep(keep), chunks: chunks, workers: workers, output: output,
        bracket: bracket, most: most)
      return try pass.run()
    }

    var known: K.Key?
    if count >= Bracket<K>.leastCount {
      let bracket = Bracket<K>(
        scores, chunks: chunks, keep: keep, count: count, most: most, workers: workers)
      switch try read(bracket) {
      case .found(let found):
        return report(found.survey, found.threshold, found.layerKept, of: count, readings)
      case .isAbove: known = bracket.floodAbove
      case .isBelow: known = bracket.floodBelow
      case .isCrowded: break
      }
      if let known, case .found(let found) = try read(Bracket(around: known)) {
        return report(found.survey, found.threshold, found.layerKept, of: count, readings)
      }
    }
    let exact =
      count < Bracket<K>.leastCount
      ? try SmallPass<K>(scores: scores, chunks: chunks, count: count).threshold(rank: keep)
      : try RadixPass<K>(scores: scores, chunks: chunks, workers: workers).threshold(rank: keep)
    let key = exact.threshold.key
    guard key > K.excluded, case .found(let found) = try read(Bracket(around: key))
    else {
      throw .arraysChanged
    }
    return report(
      found.survey, found.threshold, found.layerKept, of: count, readings + exact.readings)
  }

  /// - Parameter count: weights of all tensors, of all ranks.
  func report<K: BlockKernels>(
    _ survey: Survey, _ threshold: Threshold<K>, _ layerKept: [Int], of count: Int,
    _ readings: Int
  ) -> Report {
    var report = Report()
    report.keep = keep
    report.candidates = scores.areNested ? previous?.keep ?? count : count
    report.removed = previous == nil ? count - keep : survey.removed
    report.revived = survey.revived
    report.zeroScores = survey.zeros
    report.atThreshold = threshold.alike
    report.keptAtThreshold = threshold.quota
    report.threshold = Double(K.score(of: threshold.key))
    report.saliency = survey.saliency
    report.totalSaliency = survey.scores
    report.gradientNorm = survey.squares.squareRoot()
    report.readings = readings
    report.layerKept = layerKept
    return report
  }
}

private struct ScoreWriting: KernelJob {
  let source: Scores
  let targets: [MutableTensor]

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) {
    let sizes = source.sizes
    let chunks = Chunk.all(of: sizes)
    let workers = workers(threads, chunks, sizes.reduce(0, +))
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let areFinite = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var isFinite = true
      chunks[round].forEachBlock { block in
        isFinite = source.fill(scratch, for: block) && isFinite
        let target = unsafe targets[block.tensor].base.assumingMemoryBound(to: K.Score.self)
        unsafe K.scores(of: scratch.keys, count: block.count, into: target + block.start)
      }
      return isFinite
    }
    if !areFinite.allSatisfy(\.self) { try source.checkFinite() }
  }
}
