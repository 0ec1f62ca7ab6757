// A selection that several ranks make together, each among its own tensors: the k best weights of
// all ranks, bit for bit those that one process would choose. What must not live here: how sums
// travel (Ranks), how thresholds are found (SharedThresholds), and what bounds decide (SharedBounds).

/// The masks of one rank's tensors, chosen among the weights of all ranks. All ranks find the same
/// numbers, or all throw.
///
/// - Complexity: the passes of `SharedThresholds`, and one that writes the masks. No sample brackets
///   the threshold: it would save milliseconds, which is little compared with computing the gradients.
struct SharedSelection: KernelJob {
  private var selection: MaskSelection
  private let limits: Limits
  private let ranks: Ranks
  /// Weights of all ranks.
  private let total: Int

  /// Selects together with all other ranks, which must call this, too.
  ///
  /// - Parameters:
  ///   - selection: the tensors of this rank; `keep` counts weights of all ranks.
  ///   - limits: of the tensors of all ranks; checked.
  ///   - total: weights of all ranks.
  ///   - digest: a hash of what must be the same on all ranks.
  ///   - kept: how many weights the previous masks must keep, and how many of those are on this rank;
  ///     nil if unknown.
  ///   - level, threads: nil: those in use.
  /// - Returns: the report, and how many weights this rank keeps.
  /// - Throws: what a selection throws; `rankFailed`, `ranksDiffer`, `exchangeFailed`. If one rank
  ///   throws, all do.
  static func select(
    _ selection: MaskSelection, within limits: Limits = Limits(), of total: Int, ranks: Ranks,
    digest: UInt64, kept expected: (Int?, onThisRank: Int?), level: CPULevel? = nil,
    threads: Int? = nil
  ) throws(SFError) -> (Report, ownKept: Int) {
    let (level, threads, kept) = try ranks.reportingFailure {
      () throws(SFError) -> (CPULevel, Int, Int) in
      let level = if let level { level } else { try CPULevel.current() }
      let threads = if let threads { threads } else { try Threads.current() }
      let counting = KeptCount(masks: selection.previous?.masks ?? [])
      let kept = try counting.dispatch(wide: false, level: level, threads: threads)
      if let own = expected.onThisRank, kept != own {
        throw .masksChanged(kept: kept, expected: own)
      }
      return (level, threads, kept)
    }
    let (isWide, keptOfAll) = try ranks.agree(
      on: StepAgreement(
        digest: digest, total: total, weights: selection.scores.sizes.reduce(0, +),
        isWide: selection.scores.areWide, kept: kept, expected: expected.0))
    var shared = SharedSelection(selection: selection, limits: limits, ranks: ranks, total: total)
    shared.selection.previous?.keep = keptOfAll
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
    let chunks = Chunk.all(of: selection.scores.sizes)
    let workers = workers(threads, chunks, selection.scores.sizes.reduce(0, +))
    guard limits.areSet, let wholes = limits.wholes else {
      return try select(output, chunks, workers)
    }
    // The ranks hold the tensors that the limits are about, each element once.
    let sizes = selection.scores.sizes
    let isWhole = zip(sizes, wholes.sizes[wholes.range(sizes.count)]).map { $0 == $1 ? 1 : 0 }
    let held = try ranks.sum(wholes.spread(sizes) + wholes.spread(isWhole))
    guard held.prefix(wholes.sizes.count).elementsEqual(wholes.sizes) else { throw .ranksDiffer }
    guard let costs = limits.costs else {
      let states = WeightStates<K>(selection, chunks: chunks, workers: workers)
      let bounds = try SharedBounds(
        states, within: limits, of: wholes,
        areWhole: held.suffix(wholes.sizes.count).map { $0 > 0 },
        before: output.previouslyKept(chunks, workers), ranks: ranks, total: total,
        threads: threads)
      let written = states.write(output, bounds.threshold, smallest: bounds.smallest)
      let failure = written.statistics.isFinite ? nil : selection.scores.nonFiniteError
      return try report(
        output, written, unless: failure, smallest: bounds.smallest, bounds.passes + 1)
    }
    var shared = self
    shared.selection.scores = selection.scores.divided(
      by: Array(costs[wholes.range(selection.masks.count)]))
    let affordable = try BudgetPass<K>(
      scores: shared.selection.scores, costs: costs, wholes: wholes, ranks: ranks, chunks: chunks,
      workers: workers
    ).affordable(selection.keep)
    shared.selection.keep = affordable.count ?? selection.previous?.keep ?? total
    var found = try shared.select(output, chunks, workers)
    found.0.passes += affordable.passes
    return found
  }

  /// Selects by scores alone.
  private func select<K: BlockKernels>(
    _ output: MaskOutput<K>, _ chunks: [Chunk], _ workers: Int
  ) throws(SFError) -> (Report, ownKept: Int) {
    let scores = selection.scores
    let (found, passes) = try SharedThresholds<K>(
      scores: scores, chunks: chunks, workers: workers, ranks: ranks, total: total
    ).find([selection.keep], in: [Int?](repeating: 0, count: scores.sizes.count))
    let threshold = found[0].threshold
    guard threshold.key > K.excluded else { throw .arraysChanged }
    let pass = SinglePass(
      scores: scores, request: .aboveBracket(ties: found[0].ownTies), chunks: chunks,
      workers: workers, output: output, bracket: Bracket(around: threshold.key), capacity: 0)
    var written = WeightStates<K>.Written()
    var failure: SFError?
    do throws(SFError) {
      if case .selected(let own) = try pass.run() {
        written.statistics = own.statistics
        written.ties = (own.threshold.ties, own.threshold.keptTies)
        written.layerKept = own.layerKept
      } else {
        failure = .arraysChanged
      }
    } catch {
      failure = error
    }
    return try report(output, written, unless: failure, smallest: threshold.key, passes + 1)
  }

  /// The report, from the sums over all ranks of what each has written.
  private func report<K: BlockKernels>(
    _: MaskOutput<K>, _ own: WeightStates<K>.Written, unless failure: SFError?, smallest: K.Key,
    _ passes: Int
  ) throws(SFError) -> (Report, ownKept: Int) {
    // With pieces, all ranks have as many tensors; this is the last sum, so no rank can wait later.
    let pieces = ranks.arePieces ? selection.scores.sizes.count : 0
    let keptOfPieces = failure == nil ? own.layerKept.prefix(pieces) : []
    let counts = [own.ties.all, own.ties.kept, own.overruled.kept, own.overruled.removed]
    let sums = try ranks.sum(
      counts + keptOfPieces + [Int](repeating: 0, count: pieces - keptOfPieces.count)
        + own.statistics.sums, unless: failure)
    var written = own
    written.ties = (sums[0], sums[1])
    written.overruled = (sums[2], sums[3])
    written.statistics = Statistics(sums: Array(sums.dropFirst(4 + pieces)))
    guard written.statistics.kept == selection.keep else { throw .arraysChanged }
    if ranks.arePieces { written.layerKept = Array(sums[4..<4 + pieces]) }
    let report = selection.report(written, smallest: smallest, of: total, passes)
    return (report, own.layerKept.reduce(0, +))
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
