// Floors, caps and numbers of weights that several ranks hold, as `BoundedSelection` applies them in
// one process. What must not live here: how thresholds are found (SharedThresholds), what is written
// (WeightStates), and which bounds ranks may have (Limits.checkRanks).

/// The decisions of bounds about the weights of all ranks. Each rank marks its own.
///
/// A tensor that one rank holds whole is decided there; thresholds of the others are found together.
///
/// - Complexity: sums of a few numbers per tensor, and those of `SharedThresholds`: for tensors in
///   pieces with a floor, for those with a cap, and for the weights that are left.
struct SharedBounds<K: BlockKernels> {
  private let states: WeightStates<K>
  private let thresholds: SharedThresholds<K>
  private let limits: Limits
  private let wholes: Wholes
  private let bounds: [Bounds]
  /// Whether one rank holds the whole tensor, for each tensor of all ranks.
  private let areWhole: [Bool]
  /// Of each tensor of all ranks: weights that are kept, and those that may be.
  private var forced: [Int] = []
  private var open: [Int] = []

  /// The smallest key that is certainly kept.
  private(set) var smallest = K.Key.max
  private(set) var passes = 0
  /// Of the open weights that are kept, and how many at it each chunk keeps; nil: none is.
  private(set) var threshold: (key: K.Key, keptTies: [Int])?

  /// - Parameters:
  ///   - limits: with neither units nor costs; checked.
  ///   - areWhole: whether one rank holds the whole tensor, for each tensor of all ranks.
  ///   - before: how many weights of each tensor of this rank the previous masks keep.
  /// - Throws: `nonFinite`, `badBounds`, `ranksDiffer`; what `Ranks.sum` throws.
  init(
    _ states: WeightStates<K>, within limits: Limits, of wholes: Wholes, areWhole: [Bool],
    before: [Int], ranks: Ranks, total: Int, threads: Int
  ) throws(SFError) {
    (self.states, self.limits, self.wholes, self.areWhole) = (states, limits, wholes, areWhole)
    bounds = limits.bounds ?? wholes.sizes.map { _ in Bounds() }
    thresholds = SharedThresholds(
      scores: states.open, chunks: states.chunks, workers: states.workers, ranks: ranks,
      total: total)
    let competing = try decideUnits(before, threads)
    do throws(SFError) {
      try decideTensors(competing)
      try decideAll()
    } catch {
      throw limits.named(error, before.count)
    }
  }

  private var selection: MaskSelection { states.selection }
  private var ranks: Ranks { thresholds.ranks }

  // MARK: Output units and groups

  /// Applies the bounds of output units and groups, each of which lies on one rank.
  ///
  /// - Returns: how many weights of each tensor of all ranks the previous masks keep.
  private mutating func decideUnits(_ before: [Int], _ threads: Int) throws(SFError) -> [Int] {
    let sizes = selection.scores.sizes
    var failure: SFError?
    var units = [UnitPass<K>.Outcome?](repeating: nil, count: sizes.count)
    do throws(SFError) {
      units = try UnitPass<K>(
        scores: selection.scores, bounds: Array(bounds[wholes.range(sizes.count)]),
        states: selection.masks, threads: threads
      ).run()
    } catch {
      failure = error
    }
    for tensor in sizes.indices where units[tensor] == nil { states.begin(tensor) }
    let all = selection.scores.areNested ? before : sizes
    let own =
      wholes.spread(units.map { $0?.forced ?? 0 })
      + wholes.spread(zip(units, all).map { $0?.open ?? $1 }) + wholes.spread(before)
    let sums = try ranks.sum(own, unless: failure)
    let count = wholes.sizes.count
    forced = Array(sums[..<count])
    open = Array(sums[count..<2 * count])
    if bounds.contains(where: \.concernsUnits) { passes = 1 }
    smallest = units.reduce(.max) { min($0, $1?.smallest ?? .max) }
    return Array(sums[(2 * count)...])
  }

  /// The smallest key of all ranks; the largest there is if no rank has another.
  private func smallest(of own: K.Key) throws(SFError) -> K.Key {
    let isKey = own < .max
    let count = try ranks.sum([isKey ? 1 : 0]).reduce(0, +)
    guard count > 0 else { return .max }
    var search = RadixSelect<K>(rank: count)
    while !search.isFound {
      let bins = Histogram(bins: RadixSelect<K>.bins)
      if isKey { unsafe withUnsafePointer(to: own) { unsafe search.count($0, 1, into: bins.bins) } }
      let sums = try ranks.sum(Histogram.sum([bins]))
      unsafe search.narrow(sums)
    }
    return search.key
  }

  // MARK: Tensors

  /// Applies the bounds of tensors, and the numbers that they keep.
  private mutating func decideTensors(_ before: [Int]) throws(SFError) {
    let sizes = wholes.sizes
    let counts = try limits.counts(
      selection.keep, of: sizes, within: try limits.ranges(of: sizes),
      before: selection.scores.areNested ? before : nil)
    if let counts { try ranks.checkEqual(counts) }
    let least = counts ?? bounds.map(\.least)
    let most = counts ?? bounds.map(\.most)
    for (tensor, size) in sizes.enumerated() where size > 0 {
      try Limits.check(
        tensor, least: least[tensor], most: most[tensor], forced: forced[tensor],
        open: open[tensor], of: size)
    }
    let floors = sizes.indices.map { tensor in
      sizes[tensor] > 0 && least[tensor] > forced[tensor] ? least[tensor] - forced[tensor] : nil
    }
    try decide(floors, top: 1) { least[$0] == most[$0] ? 0 : 2 }
    for case (let tensor, let count?) in floors.enumerated() {
      forced[tensor] += count
      open[tensor] = least[tensor] == most[tensor] ? 0 : open[tensor] - count
    }
    let caps = sizes.indices.map { tensor in
      sizes[tensor] > 0 && most[tensor] < forced[tensor] + open[tensor]
        ? most[tensor] - forced[tensor] : nil
    }
    try decide(caps, top: 2) { _ in 0 }
    for case (let tensor, let count?) in caps.enumerated() { open[tensor] = count }
  }

  /// Decides open weights of tensors: the best ones of each, and the others.
  ///
  /// - Parameters:
  ///   - counts: of each tensor of all ranks how many are among the best; nil: it is left alone.
  ///   - rest: the state of the others of a tensor.
  private mutating func decide(
    _ counts: [Int?], top: UInt8, rest: (Int) -> UInt8
  ) throws(SFError) {
    var demands: [Int] = []
    let places = zip(counts, areWhole).map { count, isWhole -> Int? in
      guard let count, count > 0, !isWhole else { return nil }
      demands.append(count)
      return demands.count - 1
    }
    let range = wholes.range(selection.masks.count)
    let groups = Array(places[range])
    var failure: SFError?
    do throws(SFError) {
      for (tensor, whole) in range.enumerated() where groups[tensor] == nil {
        guard let count = counts[whole] else { continue }
        if count == 0 || selection.masks[tensor].count == 0 {
          states.close(tensor, as: rest(whole))
          continue
        }
        let found = try states.decide(tensor, keeping: count, top: top, rest: rest(whole))
        if top == 1 { smallest = min(smallest, found.key) }
      }
    } catch {
      failure = error
    }
    _ = try ranks.sum([], unless: failure)
    // The same on all ranks: one that finds the threshold, and one that marks.
    let ofWhole = zip(counts, areWhole).contains { ($0 ?? 0) > 0 && $1 } ? 2 : 0
    guard !demands.isEmpty else {
      passes += ofWhole
      return
    }
    let (found, passes) = try thresholds.find(demands, in: groups)
    let ties = thresholds.keptTies(found, in: groups)
    let states = states
    let scratches = (0..<states.workers).map { _ in Scratch<K>() }
    let others = range.map(rest)
    Parallel.forEach(states.chunks.count, workers: states.workers) { worker, round in
      let chunk = states.chunks[round]
      guard let group = groups[chunk.tensor] else { return }
      states.mark(
        chunk, scratches[worker], above: found[group].threshold.key, ties: ties[round], top: top,
        rest: others[chunk.tensor])
    }
    if top == 1 { smallest = found.reduce(smallest) { min($0, $1.threshold.key) } }
    self.passes += max(passes + 1, ofWhole)
  }

  // MARK: All weights

  private mutating func decideAll() throws(SFError) {
    let rest = try Limits.rest(
      selection.keep, forced: forced.reduce(0, +), open: open.reduce(0, +))
    guard rest > 0 else {
      smallest = try smallest(of: smallest)
      return
    }
    let groups = [Int?](repeating: 0, count: selection.masks.count)
    let (found, passes) = try thresholds.find([rest], in: groups)
    self.passes += passes
    let key = found[0].threshold.key
    guard key > K.excluded else { throw .arraysChanged }
    smallest = min(try smallest(of: smallest), key)
    threshold = (key, thresholds.keptTies(found, in: groups))
  }
}
