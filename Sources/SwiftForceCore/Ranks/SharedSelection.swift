// A selection that several ranks make together, each among its own tensors: the k best weights of
// all ranks, bit for bit those that one process would choose. What must not live here: how sums
// travel (Ranks).

/// The masks of one rank's tensors, chosen among the weights of all ranks.
///
/// The threshold is found digit by digit from histograms of keys. If not all of its ties are kept,
/// the last kept tie is found from histograms of positions. A rank sends at most 16 KB per digit,
/// whatever the number of weights, tensors and ranks: six digits for binary64 scores, and one for
/// every eleven bits of a position. All ranks find the same numbers, or all throw.
///
/// - Complexity: one pass over this rank's tensors for each digit of a key, one for ties, and one
///   that writes the masks. No sample brackets the threshold: it would save milliseconds, which is
///   little compared with computing the gradients.
struct SharedSelection: KernelJob {
  private var selection: MaskSelection
  private let ranks: Ranks
  /// Weights of all ranks.
  private let total: Int

  /// Selects together with all other ranks, which must call this, too.
  ///
  /// - Parameters:
  ///   - selection: the tensors of this rank; `keep` and `previous.keep` count weights of all
  ///     ranks.
  ///   - total: weights of all ranks.
  ///   - digest: a hash of what must be the same on all ranks.
  ///   - ownKept: how many weights the previous masks must keep on this rank; nil if unknown.
  ///   - level, threads: nil: those in use.
  /// - Returns: the report, and how many weights this rank keeps.
  /// - Throws: what a selection throws; `rankFailed`, `ranksDiffer`, `exchangeFailed`. If one rank
  ///   throws, all do.
  static func select(
    _ selection: MaskSelection, of total: Int, ranks: Ranks, digest: UInt64, ownKept: Int?,
    level: CPULevel? = nil, threads: Int? = nil
  ) throws(SFError) -> (Report, ownKept: Int) {
    let (level, threads, kept) = try ranks.reportingFailure {
      () throws(SFError) -> (CPULevel, Int, Int) in
      let level = if let level { level } else { try CPULevel.current() }
      let threads = if let threads { threads } else { try Threads.current() }
      let counting = KeptCount(masks: selection.previous?.masks ?? [])
      let kept = try counting.dispatch(wide: false, level: level, threads: threads)
      if let ownKept, kept != ownKept { throw .masksChanged(kept: kept, expected: ownKept) }
      return (level, threads, kept)
    }
    let isWide = try ranks.agree(
      on: StepAgreement(
        digest: digest, total: total, weights: selection.scores.sizes.reduce(0, +),
        isWide: selection.scores.areWide, kept: kept, expected: selection.previous?.keep))
    var shared = SharedSelection(selection: selection, ranks: ranks, total: total)
    shared.selection.scores = selection.scores.among(ranks, wide: isWide)
    return try shared.dispatch(wide: isWide, level: level, threads: threads)
  }

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> (Report, ownKept: Int) {
    let output = selection.output(K.self)
    do throws(SFError) {
      let found = try select(output, threads)
      selection.storeAccumulated(K.self, threads)
      return found
    } catch {
      output.restore()
      throw error
    }
  }

  private func select<K: BlockKernels>(
    _ output: MaskOutput<K>, _ threads: Int
  ) throws(SFError) -> (Report, ownKept: Int) {
    let scores = selection.scores
    let chunks = Chunk.all(of: scores.sizes)
    let workers = workers(threads, chunks, scores.sizes.reduce(0, +))
    let (threshold, passes) = try RadixPass<K>(scores: scores, chunks: chunks, workers: workers)
      .threshold(rank: selection.keep, ranks: ranks)
    guard threshold.key > K.excluded else { throw .arraysChanged }
    let tiePass = TiePass<K>(
      scores: scores, chunks: chunks, workers: workers, ranks: ranks, total: total)
    let removesTies = threshold.keptTies < threshold.ties
    let ownTies = removesTies ? try tiePass.keptTies(threshold) : nil
    let pass = SinglePass(
      scores: scores, request: .aboveBracket(ties: ownTies), chunks: chunks, workers: workers,
      output: output, bracket: Bracket(around: threshold.key), capacity: 0)
    return try report(pass, threshold, passes + (removesTies ? 2 : 1))
  }

  /// Writes the masks, and sums the statistics over all ranks.
  private func report<K: BlockKernels>(
    _ pass: SinglePass<K>, _ threshold: Threshold<K>, _ passes: Int
  ) throws(SFError) -> (Report, ownKept: Int) {
    var failure: SFError?
    var own = Statistics()
    var layerKept: [Int] = []
    do throws(SFError) {
      if case .selected(let found) = try pass.run() {
        (own, layerKept) = (found.statistics, found.layerKept)
      } else {
        failure = .arraysChanged
      }
    } catch {
      failure = error
    }
    // With pieces, all ranks have as many tensors; this is the last sum, so no rank can wait later.
    let pieces = ranks.arePieces ? selection.scores.sizes.count : 0
    let keptOfPieces = failure == nil ? layerKept.prefix(pieces) : []
    let sums = try ranks.sum(
      own.sums + keptOfPieces + [Int](repeating: 0, count: pieces - keptOfPieces.count),
      unless: failure)
    let statistics = Statistics(sums: Array(sums.dropLast(pieces)))
    guard statistics.kept == selection.keep else { throw .arraysChanged }
    var report = selection.report(statistics, threshold, layerKept, of: total, passes)
    if ranks.arePieces { report.layerKept = Array(sums.suffix(pieces)) }
    return (report, layerKept.reduce(0, +))
  }
}

extension Statistics {
  /// What is summed over the ranks, as integers.
  fileprivate var sums: [Int] {
    [kept, removed, revived, zeros]
      + [scores, squares, saliency, objective].flatMap { ExactSum($0).digits }
  }

  fileprivate init(sums: [Int]) {
    let values = (0..<4).map { position in
      let start = 4 + position * ExactSum.count
      return ExactSum(digits: Array(sums[start..<start + ExactSum.count])).value
    }
    self.init(
      zeros: sums[3], scores: values[0], squares: values[1], kept: sums[0], removed: sums[1],
      revived: sums[2], saliency: values[2], objective: values[3])
  }
}
