// A selection with floors and caps: the masks of largest total score among all that respect them.
// What must not live here: the bounds below the level of tensors (UnitPass), the states of weights
// (WeightStates), and how many weights each tensor keeps if scores do not decide it (Limits).

/// A selection within bounds.
///
/// Groups that are bounded contain each other or nothing in common, so they are decided from the
/// smallest to the largest: a floor keeps the best weights of its group that are still open, and a
/// cap removes those that are not among the best. Then the best open weights of all are kept. The
/// masks are those that a greedy choice finds, which takes weights in order as long as the bounds can
/// still be met; because the bounds make a laminar matroid, no other masks have a larger total score.
///
/// Meanwhile the memory of the masks holds the state of each weight (`WeightStates`).
///
/// - Complexity: one pass for bounds of output units and groups, two for those of tensors, and two
///   that choose among all weights; each only if there is something to decide. A pass that finds a
///   threshold may become several, as for `Selection`.
struct BoundedSelection: KernelJob {
  private let selection: MaskSelection
  private let limits: Limits
  private let bounds: [Bounds]
  /// How many weights of each tensor the bounds demand and allow.
  private let ranges: [ClosedRange<Int>]

  /// - Parameter limits: without units; checked.
  init(_ selection: MaskSelection, within limits: Limits, ranges: [ClosedRange<Int>]) {
    self.selection = selection
    self.limits = limits
    self.ranges = ranges
    bounds = limits.bounds ?? ranges.map { _ in Bounds() }
  }

  /// What is known of the selection while groups are decided.
  private struct Progress<K: BlockKernels> {
    var forced = 0
    var open = 0
    /// The smallest key that is certainly kept.
    var smallest = K.Key.max
    var passes = 0
  }

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let output = selection.output(K.self)
    let chunks = Chunk.all(of: selection.scores.sizes)
    let workers = workers(threads, chunks, selection.scores.sizes.reduce(0, +))
    let states = WeightStates<K>(selection, chunks: chunks, workers: workers)
    let before = try selection.checkedPrevious(output, chunks, workers)
    var progress = try decideTensors(states, before, threads)
    let threshold = try decideAll(states, &progress)
    do throws(SFError) {
      let report = try report(
        states.write(output, threshold, smallest: progress.smallest), progress)
      selection.storeAccumulated(K.self, threads)
      return report
    } catch {
      output.restore()
      throw error
    }
  }

  private func report<K: BlockKernels>(
    _ written: WeightStates<K>.Written, _ progress: Progress<K>
  ) throws(SFError) -> Report {
    if !written.statistics.isFinite { try selection.scores.checkFinite() }
    guard written.statistics.kept == selection.keep else { throw .arraysChanged }
    return selection.report(
      written, smallest: progress.smallest, of: selection.scores.sizes.reduce(0, +),
      progress.passes + 1)
  }

  // MARK: Tensors

  /// Applies the bounds of output units, groups and tensors.
  ///
  /// - Parameter before: how many weights of each tensor the previous masks keep.
  private func decideTensors<K: BlockKernels>(
    _ states: WeightStates<K>, _ before: [Int], _ threads: Int
  ) throws(SFError) -> Progress<K> {
    let sizes = selection.scores.sizes
    let counts = try limits.counts(
      selection.keep, of: sizes, within: ranges, before: selection.scores.areNested ? before : nil)
    let units = try UnitPass<K>(
      scores: selection.scores, bounds: bounds, states: selection.masks, threads: threads
    ).run()
    var total = Progress<K>()
    total.passes = units.contains { $0 != nil } ? 1 : 0
    var passes = 0
    for (tensor, size) in sizes.enumerated() where size > 0 {
      var own = Progress<K>()
      if let unit = units[tensor] {
        (own.forced, own.open, own.smallest) = (unit.forced, unit.open, unit.smallest)
      } else {
        states.begin(tensor)
        own.open = selection.scores.areNested ? before[tensor] : size
      }
      let least = counts?[tensor] ?? bounds[tensor].least
      let most = counts?[tensor] ?? bounds[tensor].most
      try Limits.check(
        tensor, least: least, most: most, forced: own.forced, open: own.open, of: size)
      if least > own.forced {
        try decide(
          states, tensor, keeping: least - own.forced, top: 1, rest: least == most ? 0 : 2, &own)
      }
      if most < own.forced + own.open {
        try decide(states, tensor, keeping: most - own.forced, top: 2, rest: 0, &own)
      }
      total.forced += own.forced
      total.open += own.open
      total.smallest = min(total.smallest, own.smallest)
      passes = max(passes, own.passes)
    }
    total.passes += passes
    return total
  }

  /// Decides open weights of a tensor: its best ones, and the others.
  private func decide<K: BlockKernels>(
    _ states: WeightStates<K>, _ tensor: Int, keeping count: Int, top: UInt8, rest: UInt8,
    _ progress: inout Progress<K>
  ) throws(SFError) {
    if count == 0 {
      states.close(tensor, as: rest)
    } else {
      let found = try states.decide(tensor, keeping: count, top: top, rest: rest)
      if top == 1 { progress.smallest = min(progress.smallest, found.key) }
      progress.passes += found.passes
    }
    switch (top, rest) {
    case (1, 2): (progress.forced, progress.open) = (progress.forced + count, progress.open - count)
    case (1, _): (progress.forced, progress.open) = (progress.forced + count, 0)
    default: progress.open = count
    }
  }

  // MARK: All weights

  /// The threshold of the open weights that are kept of all tensors, and how many ties each chunk
  /// keeps; nil if nothing is open that may be kept.
  private func decideAll<K: BlockKernels>(
    _ states: WeightStates<K>, _ progress: inout Progress<K>
  ) throws(SFError) -> (key: K.Key, keptTies: [Int])? {
    let rest = try Limits.rest(selection.keep, forced: progress.forced, open: progress.open)
    guard rest > 0 else { return nil }
    let found = try SelectionPasses<K>(
      scores: states.open, keep: rest, chunks: states.chunks,
      count: selection.scores.sizes.reduce(0, +), workers: states.workers, output: nil
    ).run()
    progress.passes += found.passes
    let threshold = found.selected.threshold
    progress.smallest = min(progress.smallest, threshold.key)
    return (threshold.key, found.selected.keptTies)
  }
}

extension MaskSelection {
  /// The report of a selection within bounds.
  ///
  /// - Parameter smallest: the smallest key that is kept.
  func report<K: BlockKernels>(
    _ written: WeightStates<K>.Written, smallest: K.Key, of count: Int, _ passes: Int
  ) -> Report {
    let threshold = Threshold<K>(
      key: smallest, keptTies: written.ties.kept, ties: written.ties.all)
    var report = report(written.statistics, threshold, written.layerKept, of: count, passes)
    (report.keptByFloors, report.removedByCaps) = (
      written.overruled.kept, written.overruled.removed
    )
    return report
  }
}
