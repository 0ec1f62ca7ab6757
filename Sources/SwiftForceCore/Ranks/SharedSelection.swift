// A selection that several ranks make together, each of its own tensors: the k best of all ranks, bit
// for bit those that one process would choose. What must not live here: how sums travel (Ranks).

/// The masks of one rank's tensors, chosen among the weights of all ranks.
///
/// The threshold is found digit by digit from histograms of keys, and where not all of its ties are
/// kept, the last of them from histograms of positions; so a rank sends at most 16 KB for each digit,
/// however many weights, tensors and ranks there are: six for binary64 scores, and one for every
/// eleven bits of a position. Every rank finds the same figures, or throws.
///
/// - Complexity: one reading of this rank's tensors for each digit of a key, one for ties, one that
///   writes the masks. No sample brackets the threshold: what that saves, milliseconds, is little
///   beside what the ranks' gradients take.
struct SharedSelection: KernelJob {
  private var selection: MaskSelection
  private let ranks: Ranks
  /// Weights of all ranks.
  private let total: Int

  /// Selects, once all ranks have come to do so.
  ///
  /// - Parameters:
  ///   - selection: of this rank's tensors; `keep` and `previous.keep` count those of all ranks.
  ///   - total: weights of all ranks.
  ///   - digest: what must be the same on all ranks, in `Meeting.digestBits` bits.
  ///   - ownKept: how many weights the previous masks must keep here, where that is known.
  ///   - level, threads: those in use, if none are given.
  /// - Throws: besides what a selection throws, `rankFailed`, `ranksDiffer`, `exchangeFailed`. If
  ///   one rank throws, all do.
  static func select(
    _ selection: MaskSelection, of total: Int, ranks: Ranks, digest: Int, ownKept: Int?,
    level: CPULevel? = nil, threads: Int? = nil
  ) throws(SFError) -> Report {
    let (level, threads, kept) = try ranks.preparing {
      () throws(SFError) -> (CPULevel, Int, Int) in
      let level = if let level { level } else { try CPULevel.current() }
      let threads = if let threads { threads } else { try Threads.current() }
      let counting = KeptCount(masks: selection.previous?.masks ?? [])
      let kept = try Selection.run(counting, wide: false, level: level, threads: threads)
      if let ownKept, kept != ownKept { throw .masksChanged(kept: kept, expected: ownKept) }
      return (level, threads, kept)
    }
    let isWide = try ranks.meet(
      Meeting(
        digest: digest, total: total, weights: selection.scores.sizes.reduce(0, +),
        isWide: selection.scores.areWide, kept: kept, expected: selection.previous?.keep))
    var shared = SharedSelection(selection: selection, ranks: ranks, total: total)
    shared.selection.scores = selection.scores.among(ranks, wide: isWide)
    return try Selection.run(shared, wide: isWide, level: level, threads: threads)
  }

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let output = MaskOutput<K>(
      masks: selection.masks, previous: selection.previous?.masks, applying: selection.applying)
    do throws(SFError) {
      return try select(output, threads)
    } catch {
      output.restore()
      throw error
    }
  }

  private func select<K: BlockKernels>(
    _ output: MaskOutput<K>, _ threads: Int
  ) throws(SFError) -> Report {
    let scores = selection.scores
    let chunks = Chunk.all(of: scores.sizes)
    let workers = workers(threads, chunks, scores.sizes.reduce(0, +))
    let (threshold, readings) = try RadixPass<K>(scores: scores, chunks: chunks, workers: workers)
      .threshold(rank: selection.keep, ranks: ranks)
    guard threshold.key > K.excluded else { throw .arraysChanged }
    let ties = TiePass<K>(
      scores: scores, chunks: chunks, workers: workers, ranks: ranks, total: total)
    let hasSpareTies = threshold.quota < threshold.alike
    let quota = hasSpareTies ? try ties.quota(threshold) : nil
    let pass = SinglePass(
      scores: scores, goal: .above(quota: quota), chunks: chunks, workers: workers,
      output: output, bracket: Bracket(around: threshold.key), most: 0)
    return try report(pass, threshold, readings + (hasSpareTies ? 2 : 1))
  }

  /// Writes the masks, and adds up over all ranks what that says.
  private func report<K: BlockKernels>(
    _ pass: SinglePass<K>, _ threshold: Threshold<K>, _ readings: Int
  ) throws(SFError) -> Report {
    var trouble: SFError?
    var own = Survey()
    var layerKept: [Int] = []
    do throws(SFError) {
      if case .found(let found) = try pass.run() {
        (own, layerKept) = (found.survey, found.layerKept)
      } else {
        trouble = .arraysChanged
      }
    } catch {
      trouble = error
    }
    let survey = Survey(sums: try ranks.sum(own.sums, unless: trouble))
    guard survey.kept == selection.keep else { throw .arraysChanged }
    return selection.report(survey, threshold, layerKept, of: total, readings)
  }
}

/// How many weights some masks keep.
private struct KeptCount: KernelJob {
  let masks: [Mask]

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Int {
    let sizes = masks.map(\.count)
    let chunks = Chunk.all(of: sizes)
    let output = MaskOutput<K>(masks: [], previous: masks, applying: nil)
    return output.previouslyKept(chunks, workers(threads, chunks, sizes.reduce(0, +)))
  }
}

extension Survey {
  /// What is added up over the ranks, as integers.
  fileprivate var sums: [Int] {
    [kept, removed, revived, zeros]
      + [scores, squares, saliency].flatMap { ExactSum($0).digits }
  }

  fileprivate init(sums: [Int]) {
    let values = (0..<3).map { position in
      let start = 4 + position * ExactSum.count
      return ExactSum(digits: Array(sums[start..<start + ExactSum.count])).value
    }
    self.init(
      zeros: sums[3], scores: values[0], squares: values[1], kept: sums[0], removed: sums[1],
      revived: sums[2], saliency: values[2])
  }
}
