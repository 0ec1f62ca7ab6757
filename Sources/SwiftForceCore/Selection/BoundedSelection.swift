// A selection with floors and caps: the masks of largest total score among all that respect them.
// What must not live here: the bounds below the level of tensors (UnitPass), and how many weights
// each tensor keeps if scores do not decide it (Allocation).

/// A selection within bounds.
///
/// Groups that are bounded contain each other or nothing in common, so they are decided from the
/// smallest to the largest: a floor keeps the best weights of its group that are still open, and a
/// cap removes those that are not among the best. Then the best open weights of all are kept. The
/// masks are those that a greedy choice finds, which takes weights in order as long as the bounds can
/// still be met; because the bounds make a laminar matroid, no other masks have a larger total score.
///
/// Meanwhile the memory of the masks holds the state of each weight: 1 kept, 0 removed, 2 open. So no
/// other memory is needed that grows with the weights.
///
/// - Complexity: one pass for bounds of output units and groups, two for those of tensors, and two
///   that choose among all weights; each only if there is something to decide. A pass that finds a
///   threshold may become several, as for `Selection`.
struct BoundedSelection: KernelJob {
  private let selection: MaskSelection
  private let bounds: [Bounds]
  /// How many weights of each tensor the bounds demand and allow.
  private let ranges: [ClosedRange<Int>]
  /// How many weights each tensor keeps in the end; nil: scores decide within the bounds.
  private let final: [Int]?
  /// The scores of the weights that are neither kept nor removed yet.
  private let open: Scores

  /// - Parameter limits: without units; checked.
  init(_ selection: MaskSelection, within limits: Limits, ranges: [ClosedRange<Int>]) {
    self.selection = selection
    self.ranges = ranges
    bounds = limits.bounds ?? ranges.map { _ in Bounds() }
    final = limits.counts
    open = selection.scores.open(in: selection.masks)
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
    let before = try selection.checkedPrevious(output, chunks, workers)
    var progress = try decideTensors(K.self, before, threads)
    let threshold = try decideAll(&progress, chunks, workers)
    do throws(SFError) {
      let report = try write(output, chunks, workers, threshold, progress)
      selection.storeAccumulated(K.self, threads)
      return report
    } catch {
      output.restore()
      throw error
    }
  }

  private var states: [Mask] { selection.masks }

  // MARK: Tensors

  /// Applies the bounds of output units, groups and tensors.
  ///
  /// - Parameter before: how many weights of each tensor the previous masks keep.
  private func decideTensors<K: BlockKernels>(
    _: K.Type, _ before: [Int], _ threads: Int
  ) throws(SFError) -> Progress<K> {
    let counts = try counts(before)
    let units = try UnitPass<K>(
      scores: selection.scores, bounds: bounds, states: states, threads: threads
    ).run()
    var total = Progress<K>()
    total.passes = units.contains { $0 != nil } ? 1 : 0
    var passes = 0
    for tensor in states.indices where states[tensor].count > 0 {
      var own = Progress<K>()
      if let unit = units[tensor] {
        (own.forced, own.open, own.smallest) = (unit.forced, unit.open, unit.smallest)
      } else {
        let states = states[tensor]
        unsafe states.base.update(repeating: 2, count: states.count)
        own.open = selection.scores.areNested ? before[tensor] : states.count
      }
      let size = states[tensor].count
      let least = counts?[tensor] ?? bounds[tensor].least
      let most = counts?[tensor] ?? bounds[tensor].most
      guard own.forced + own.open >= least, own.forced <= most else {
        throw .badBounds(
          tensor: tensor,
          reason: own.forced > most
            ? "at most \(most) weights may be kept, and the floors of its parts demand \(own.forced)"
            : "at least \(least) of \(size) weights must be kept, and \(own.forced + own.open) may be"
        )
      }
      if least > own.forced {
        try decide(
          tensor, keeping: least - own.forced, top: 1, rest: least == most ? 0 : 2, &own, threads)
      }
      if most < own.forced + own.open {
        try decide(tensor, keeping: most - own.forced, top: 2, rest: 0, &own, threads)
      }
      total.forced += own.forced
      total.open += own.open
      total.smallest = min(total.smallest, own.smallest)
      passes = max(passes, own.passes)
    }
    total.passes += passes
    return total
  }

  /// How many weights each tensor keeps in this step, on the way to what it keeps in the end.
  private func counts(_ before: [Int]) throws(SFError) -> [Int]? {
    guard let final else { return nil }
    var ranges = ranges
    if selection.scores.areNested {
      for (tensor, count) in before.enumerated() {
        guard count >= final[tensor] else {
          throw .badBounds(
            tensor: tensor,
            reason: "\(final[tensor]) weights are to be kept in the end, and \(count) are left")
        }
        ranges[tensor] =
          min(count, ranges[tensor].lowerBound)...min(count, ranges[tensor].upperBound)
      }
    }
    return Allocation.counts(
      selection.keep, towards: final, of: selection.scores.sizes, within: ranges)
  }

  /// Decides open weights of a tensor: its best ones, and the others.
  private func decide<K: BlockKernels>(
    _ tensor: Int, keeping count: Int, top: UInt8, rest: UInt8, _ progress: inout Progress<K>,
    _ threads: Int
  ) throws(SFError) {
    let chunks = Chunk.all(of: states[tensor].count, tensor: tensor)
    let workers = workers(threads, chunks, states[tensor].count)
    if count == 0 {
      Parallel.forEach(chunks.count, workers: workers) { _, round in
        let chunk = chunks[round]
        let states = unsafe states[tensor].base + chunk.start
        for i in 0..<chunk.count where unsafe states[i] == 2 { unsafe states[i] = rest }
      }
    } else {
      let found = try SelectionPasses<K>(
        scores: open, keep: count, chunks: chunks, count: states[tensor].count, workers: workers,
        output: nil
      ).run()
      let threshold = found.selected.threshold
      let scratches = (0..<workers).map { _ in Scratch<K>() }
      Parallel.forEach(chunks.count, workers: workers) { worker, round in
        mark(
          chunks[round], scratches[worker], above: threshold.key,
          ties: found.selected.keptTies[round], top: top, rest: rest)
      }
      if top == 1 { progress.smallest = min(progress.smallest, threshold.key) }
      progress.passes += found.passes + 1
    }
    switch (top, rest) {
    case (1, 2): (progress.forced, progress.open) = (progress.forced + count, progress.open - count)
    case (1, _): (progress.forced, progress.open) = (progress.forced + count, 0)
    default: progress.open = count
    }
  }

  /// Gives the open weights of a chunk their states.
  private func mark<K: BlockKernels>(
    _ chunk: Chunk, _ scratch: Scratch<K>, above key: K.Key, ties: Int, top: UInt8, rest: UInt8
  ) {
    let bracket = Bracket<K>(around: key)
    var left = ties
    chunk.forEachBlock { block in
      let states = unsafe states[block.tensor].base + block.start
      _ = unsafe open.classify(scratch, block, bracket, into: scratch.mask)
      _ = unsafe K.resolve(scratch.mask, count: block.count, keeping: &left)
      unsafe K.decide(scratch.mask, count: block.count, top: top, rest: rest, in: states)
    }
  }

  // MARK: All weights

  /// The threshold of the open weights that are kept of all tensors, and how many ties each chunk
  /// keeps; nil if nothing is open that may be kept.
  private func decideAll<K: BlockKernels>(
    _ progress: inout Progress<K>, _ chunks: [Chunk], _ workers: Int
  ) throws(SFError) -> (key: K.Key, keptTies: [Int])? {
    let rest = selection.keep - progress.forced
    guard rest >= 0, rest <= progress.open else {
      throw .badBounds(
        tensor: nil,
        reason: rest < 0
          ? "\(selection.keep) weights are to be kept, and the floors demand \(progress.forced)"
          : "\(selection.keep) weights are to be kept, and \(progress.forced + progress.open) may be"
      )
    }
    guard rest > 0 else { return nil }
    let found = try SelectionPasses<K>(
      scores: open, keep: rest, chunks: chunks, count: selection.scores.sizes.reduce(0, +),
      workers: workers, output: nil
    ).run()
    progress.passes += found.passes
    let threshold = found.selected.threshold
    progress.smallest = min(progress.smallest, threshold.key)
    return (threshold.key, found.selected.keptTies)
  }

  /// What the last pass counts in a chunk, besides its statistics.
  private struct Written {
    var statistics = Statistics()
    var ties = (all: 0, kept: 0)
    var overruled = (kept: 0, removed: 0)
  }

  /// Turns states into masks, and writes the masked weights.
  private func write<K: BlockKernels>(
    _ output: MaskOutput<K>, _ chunks: [Chunk], _ workers: Int,
    _ threshold: (key: K.Key, keptTies: [Int])?, _ progress: Progress<K>
  ) throws(SFError) -> Report {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let written = Parallel.map(chunks.count, workers: workers) { worker, round in
      write(
        chunks[round], scratches[worker], output, above: threshold?.key ?? .max,
        ties: threshold?.keptTies[round] ?? 0, smallest: progress.smallest)
    }
    var total = Written()
    var layerKept = [Int](repeating: 0, count: states.count)
    for (chunk, part) in zip(chunks, written) {
      total.statistics += part.statistics
      total.ties.all += part.ties.all
      total.ties.kept += part.ties.kept
      total.overruled.kept += part.overruled.kept
      total.overruled.removed += part.overruled.removed
      layerKept[chunk.tensor] += part.statistics.kept
    }
    if !total.statistics.isFinite { try selection.scores.checkFinite() }
    guard total.statistics.kept == selection.keep else { throw .arraysChanged }
    var report = selection.report(
      total.statistics,
      Threshold<K>(
        key: progress.smallest, keptTies: total.ties.kept, ties: total.ties.all), layerKept,
      of: selection.scores.sizes.reduce(0, +), progress.passes + 1)
    if threshold != nil {
      (report.keptByFloors, report.removedByCaps) = (total.overruled.kept, total.overruled.removed)
    }
    return report
  }

  private func write<K: BlockKernels>(
    _ chunk: Chunk, _ scratch: Scratch<K>, _ output: MaskOutput<K>, above key: K.Key, ties: Int,
    smallest: K.Key
  ) -> Written {
    var written = Written()
    var left = ties
    let bracket = Bracket<K>(around: key)
    chunk.forEachBlock { block in
      let mask = unsafe output.mask(block)
      let (found, objective) = unsafe selection.scores.classify(
        scratch, block, bracket, into: scratch.mask)
      let overruled = unsafe K.overruled(scratch.mask, mask, count: block.count)
      if found.inside > 0 {
        // Ties are kept only if they are open.
        for i in 0..<block.count where unsafe scratch.mask[i] == 2 {
          let isKept = unsafe mask[i] == 2 && left > 0
          left -= isKept ? 1 : 0
          unsafe scratch.mask[i] = isKept ? 1 : 0
        }
      }
      unsafe K.decide(scratch.mask, count: block.count, top: 1, rest: 0, in: mask)
      let statistics = output.finish(block, found, objective, scratch)
      let equal = unsafe K.ties(scratch.keys, mask, count: block.count, of: smallest)
      written.statistics += statistics
      written.ties = (written.ties.all + equal.all, written.ties.kept + equal.kept)
      written.overruled.kept += overruled.kept
      written.overruled.removed += overruled.removed
    }
    return written
  }
}
