// The progressive search as a state machine: the method, how many weights to keep after each step,
// and how many steps were taken. What must not live here: tensors, which are passed to each step.

/// A search for a mask in T steps, each of which takes gradients at the masked weights and finds a
/// new mask.
///
/// With the method `force`, step t solves
///
///     max over c of  sum over kept i of abs(w_i dL/dw_i (w * c_(t-1)))   with  k_t weights kept
///
/// where w are the dense weights in every step and c_0 keeps all weights; see `Damping` for other
/// scores and fewer competitors. A step that throws leaves the search, the previous masks, their
/// masked weights and the accumulated scores unchanged, and may be tried again.
///
/// The weights may be distributed over several ranks. Each rank takes every step with a search over
/// its own tensors. All ranks find the masks and, except for `layerKept` of tensors that are no
/// pieces, the reports of one search over all tensors; sums in a report may differ from it in the
/// last bits.
public struct Search: Sendable {
  public let method: Method
  /// How important one weight is, and which weights compete in the next step: those of the method,
  /// unless the caller names others.
  public let saliency: Saliency
  public let rule: Rule
  public let damping: Damping
  /// Weights kept after each step; if weights have costs, what those may cost.
  public let keeps: [Int]
  /// Elements of each tensor of this rank.
  public let sizes: [Int]
  /// Weights of all ranks.
  public let total: Int
  public let limits: Limits

  /// The reports of the steps that this search took itself, in order.
  public private(set) var reports: [Report] = []
  /// How many steps an earlier search took.
  private let earlier: Int
  /// How many weights the last step keeps on this rank; nil before the first with ranks.
  private var ownKept: Int?
  private let seed: UInt64

  /// A search that follows a schedule.
  ///
  /// - Parameters:
  ///   - sizes: elements of each tensor of weights; some may be 0.
  ///   - keep: weights of all ranks that the last step keeps.
  ///   - steps: 1 for a one-shot method.
  ///   - damping: its steps are counted like those of the whole search.
  ///   - seed: for the random saliency.
  ///   - total: weights of all ranks; nil: there is one rank.
  ///   - taken: steps that an earlier search took, which this one continues.
  ///   - saliency, rule: in place of those of the method; nil: those.
  ///   - limits: floors and caps in every step, and how many weights each tensor keeps after the
  ///     last one. Steps that would keep more than caps allow keep as many as those allow.
  /// - Throws: `badCount`, `badKeep`, `badSteps`, `badTaken`, `badSetting`, `badBounds`,
  ///   `sizeMismatch`.
  public init(
    _ method: Method, sizes: [Int], keep: Int, steps: Int, schedule: Schedule = .exponential,
    damping: Damping = Damping(), seed: UInt64 = 0, total: Int? = nil, taken: Int = 0,
    saliency: Saliency? = nil, rule: Rule? = nil, limits: Limits = Limits()
  ) throws(SFError) {
    try Search.checkSteps(steps, method)
    let most = try Search.most(sizes, of: total, limits)
    var keeps = try schedule.keeps(of: most, keep: keep, steps: steps)
    if limits.bounds != nil {
      let most = try limits.namingOwn(sizes.count) { (limits) throws(SFError) in
        try limits.ranges(of: limits.sizes(sizes)).reduce(0) { $0 + $1.upperBound }
      }
      keeps = keeps.map { max(keep, min($0, most)) }
    }
    try self.init(
      method, sizes: sizes, keep: keep, keeps: keeps, damping: damping, seed: seed, total: total,
      taken: taken, saliency: saliency, rule: rule, limits: limits)
  }

  /// A search that follows the caller's list of the weights to keep after each step.
  ///
  /// - Throws: `badCount`, `badKeep`, `badSteps`, `badSchedule`, `badTaken`, `badSetting`,
  ///   `badBounds`, `sizeMismatch`.
  public init(
    _ method: Method, sizes: [Int], keep: Int, keeps: [Int], damping: Damping = Damping(),
    seed: UInt64 = 0, total: Int? = nil, taken: Int = 0, saliency: Saliency? = nil,
    rule: Rule? = nil, limits: Limits = Limits()
  ) throws(SFError) {
    try Search.checkSteps(keeps.count, method)
    let count = try Search.count(sizes, of: total)
    try Schedule.check(keeps, of: try Search.most(sizes, of: total, limits), keep: keep)
    guard taken >= 0, taken <= keeps.count else { throw .badTaken(taken, steps: keeps.count) }
    try limits.namingOwn(sizes.count) { (limits) throws(SFError) in
      try limits.checkRanks(sizes, of: total)
      // Steps that were taken before may have kept more: masks that a search begins at do.
      try limits.check(Array(keeps.suffix(max(1, keeps.count - taken))), of: limits.sizes(sizes))
    }
    self.limits = limits
    self.method = method
    self.saliency = saliency ?? method.saliency
    self.rule = rule ?? method.rule
    self.damping = try damping.checked(
      self.saliency, self.rule, isOneShot: method.isOneShot, steps: keeps.count)
    self.sizes = sizes
    self.total = count
    self.seed = seed
    self.keeps = keeps
    earlier = taken
    // A step must not allocate them: how many there are is in no bound of its memory.
    reports.reserveCapacity(keeps.count - taken)
  }

  /// How many steps were taken, including those of an earlier search.
  public var taken: Int { earlier + reports.count }

  /// The report of a step; nil if this search has not taken it itself.
  ///
  /// - Parameter step: counted from 1, the first step of the whole search.
  public func report(ofStep step: Int) -> Report? {
    step > earlier && step <= taken ? reports[step - earlier - 1] : nil
  }

  /// Whether all steps were taken.
  public var isDone: Bool { taken == keeps.count }

  /// Takes one step.
  ///
  /// - Parameters:
  ///   - weights: the dense weights, the same in every step.
  ///   - gradients: gradients of the loss at the masked weights, also for the removed weights; the
  ///     scores if those are given; nil if the saliency reads none.
  ///   - previous: the masks that the previous step wrote; only read; nil in the first step.
  ///   - masks: receive the new masks; not the memory of `previous`. Unspecified after an error.
  ///   - masked: nil, or arrays of the types of the weights that receive them with removed weights
  ///     set to zero. From the second step on they must hold what the previous step wrote.
  ///     Unspecified after an error in the first step.
  ///   - accumulated: with momentum, one array per tensor: binary64 for weights of that
  ///     type, else binary32. They must hold zeros in the first step, and what the previous step
  ///     wrote in a later one. They receive the new sums, 0 for weights that do not compete.
  ///     Otherwise ignored.
  ///   - ranks: the connection to the other ranks; nil: there is one rank. All ranks must take the
  ///     step. If one of them throws, all do, unless a sum failed on some ranks only.
  /// - Throws: `searchDone`, `sizeMismatch`, `missingGradients`, `nonFinite`, `arraysChanged`,
  ///   `masksChanged`, `badType`, `badEnvironment`; with ranks also `badStart`, `rankFailed`,
  ///   `ranksDiffer`, `exchangeFailed`.
  public mutating func step(
    weights: [Tensor], gradients: [Tensor]?, previous: [Mask]?, masks: [Mask],
    masked: [MutableTensor]? = nil, accumulated: [MutableTensor]? = nil, ranks: Ranks? = nil
  ) throws(SFError) -> Report {
    var report: Report
    if let ranks {
      let selection = try ranks.reportingFailure { () throws(SFError) in
        try ranks.check(sizes, of: total)
        return try nextSelection(weights, gradients, previous, masks, masked, accumulated)
      }
      (report, ownKept) = try SharedSelection.select(
        selection, within: limits, of: total, ranks: ranks,
        digest: digest(tensors: ranks.arePieces ? sizes.count : 0),
        kept: (keptBefore, onThisRank: ownKept))
    } else {
      let own = sizes.reduce(0, +)
      guard own == total else {
        throw .sizeMismatch(.weights, tensor: nil, got: own, expected: total)
      }
      let selection = try nextSelection(weights, gradients, previous, masks, masked, accumulated)
      report = try limits.select(selection)
    }
    report.step = taken + 1
    reports.append(report)
    return report
  }

  /// Checks the arguments of `step` and returns the selection that it makes.
  private func nextSelection(
    _ weights: [Tensor], _ gradients: [Tensor]?, _ previous: [Mask]?, _ masks: [Mask],
    _ masked: [MutableTensor]?, _ accumulated: [MutableTensor]?
  ) throws(SFError) -> MaskSelection {
    guard !isDone else { throw .searchDone(steps: keeps.count) }
    try Selection.checkSizes(weights.map(\.count), sizes, .weights)
    if let gradients { try Selection.checkSizes(gradients.map(\.count), sizes, .gradients) }
    try Selection.checkSizes(masks.map(\.count), sizes, .masks)
    if let masked {
      try Selection.checkSizes(masked.map(\.count), sizes, .maskedWeights)
      try Selection.checkTypes(masked.map(\.type), weights.map(\.type), .maskedWeights)
    }
    let previous = taken == 0 ? nil : previous
    guard taken == 0 || previous != nil else {
      throw .masksChanged(kept: 0, expected: keeps[taken - 1])
    }
    if let previous { try Selection.checkSizes(previous.map(\.count), sizes, .masks) }
    // If scores are computed from the weights, a weight that is not finite shows in its score.
    if reports.isEmpty && !saliency.readsWeights { try Selection.checkFinite(weights) }

    let scores = try Scores(
      saliency, weights: weights, gradients: gradients, previous: previous,
      competition: damping.competition(rule, step: taken + 1),
      accumulated: try checkedAccumulated(accumulated, weights), seed: seed)
    return MaskSelection(
      scores: scores, keep: keeps[taken], masks: masks,
      previous: try previous.map { (masks) throws(SFError) in
        let kept =
          if let keptBefore { keptBefore } else {
            try KeptCount(masks: masks).dispatch(wide: false)
          }
        return (masks, kept)
      },
      applying: masked.map { (weights, $0) })
  }

  /// How many weights the masks of the step before must keep; nil if only an earlier search, which
  /// took it, knew, and in the first step.
  private var keptBefore: Int? {
    guard taken > 0 else { return nil }
    return reports.last?.keep ?? (limits.mayKeepFewer ? nil : keeps[taken - 1])
  }

  /// The accumulated scores; nil if the search has none.
  private func checkedAccumulated(
    _ accumulated: [MutableTensor]?, _ weights: [Tensor]
  ) throws(SFError) -> AccumulatedScores? {
    guard damping.accumulates else { return nil }
    let accumulated = accumulated ?? []
    try Selection.checkSizes(accumulated.map(\.count), sizes, .accumulated)
    try Selection.checkTypes(
      accumulated.map(\.type), weights.map { AccumulatedScores.type(for: $0.type) }, .accumulated)
    return AccumulatedScores(tensors: accumulated, momentum: damping.momentum)
  }

  /// A hash of everything that must be the same on all ranks.
  ///
  /// - Parameter tensors: how many tensors all ranks have pieces of.
  func digest(tensors: Int) -> UInt64 {
    let factors = [damping.momentum, damping.removedFactor].map {
      Int(Int64(bitPattern: $0.bitPattern))
    }
    let method = Method.allCases.firstIndex(of: method) ?? 0
    let axes = [
      Saliency.allCases.firstIndex(of: saliency) ?? 0, Rule.allCases.firstIndex(of: rule) ?? 0,
    ]
    let numbers =
      [method, total, taken, tensors, damping.nestedFrom ?? 0] + axes + factors + keeps
    return Generator.hash(numbers + limits.numbers, seed: seed)
  }

  /// The number of weights of all ranks; `total`, if it is given and fits the sizes.
  private static func count(_ sizes: [Int], of total: Int?) throws(SFError) -> Int {
    guard let total else { return try Selection.total(sizes) }
    guard total >= 1, total <= Keep.largestCount else { throw .badCount(total) }
    let own = try Selection.sum(sizes)
    guard own <= total else {
      throw .sizeMismatch(.weights, tensor: nil, got: own, expected: total)
    }
    return total
  }

  /// The most that a step can be told to keep.
  private static func most(
    _ sizes: [Int], of total: Int?, _ limits: Limits
  ) throws(SFError) -> Int {
    guard limits.costs != nil else { return try count(sizes, of: total) }
    return try limits.namingOwn(sizes.count) { (limits) throws(SFError) in
      try limits.most(of: limits.sizes(sizes))
    }
  }

  private static func checkSteps(_ steps: Int, _ method: Method) throws(SFError) {
    guard steps >= 1, steps == 1 || !method.isOneShot else {
      throw .badSteps(steps, oneShot: method.isOneShot)
    }
  }
}
