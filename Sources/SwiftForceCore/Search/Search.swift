// The progressive search as a state machine: it knows the method, how many weights to keep after
// each step, and how many steps were taken. It holds no tensor: those are passed to each step.

/// A search for a mask in T steps: gradients at the current masked weights, then a new mask.
///
/// With the method `force`, step t solves
///
///     max over c of  sum over kept i of abs(w_i dL/dw_i (w * c_(t-1)))   with  k_t weights kept
///
/// where w are the dense weights throughout and c_0 keeps all. A step that throws leaves the
/// search, the previous masks and their masked weights as they were, and may be tried again.
///
/// The weights may be those of several ranks, each of which takes every step with a search over its
/// own tensors: all find the masks, and but for `layerKept` the reports, that one search over all
/// tensors would find; sums in a report may differ from those in the last bits.
public struct Search: Sendable {
  public let method: Method
  /// Weights kept after each step.
  public let keeps: [Int]
  /// Size of each tensor.
  public let sizes: [Int]
  /// Weights of all ranks; where there is one, of these tensors.
  public let total: Int

  /// What the steps taken here did, in order.
  public private(set) var reports: [Report] = []
  /// How many steps were taken before, by another search.
  private let earlier: Int
  private let seed: UInt64

  /// A search that follows a schedule.
  ///
  /// - Parameters:
  ///   - sizes: elements of each tensor of weights; some may be 0.
  ///   - keep: weights kept after the last step.
  ///   - steps: 1 for a one-shot method.
  ///   - seed: for the random saliency.
  ///   - total: weights of all ranks, `keep` of which are kept; nil: there is one rank.
  ///   - taken: steps that another search has taken, which this one goes on from.
  /// - Throws: `badCount`, `badKeep`, `badSteps`, `badTaken`, `sizeMismatch`.
  public init(
    _ method: Method, sizes: [Int], keep: Int, steps: Int, schedule: Schedule = .exponential,
    seed: UInt64 = 0, total: Int? = nil, taken: Int = 0
  ) throws(SFError) {
    try Search.checkSteps(steps, method)
    let count = try Search.count(sizes, of: total)
    let keeps = try schedule.keeps(of: count, keep: keep, steps: steps)
    try self.init(
      method, sizes: sizes, keep: keep, keeps: keeps, seed: seed, total: total, taken: taken)
  }

  /// A search that keeps the numbers of weights that the caller lists.
  ///
  /// - Throws: `badCount`, `badKeep`, `badSteps`, `badSchedule`, `badTaken`, `sizeMismatch`.
  public init(
    _ method: Method, sizes: [Int], keep: Int, keeps: [Int], seed: UInt64 = 0,
    total: Int? = nil, taken: Int = 0
  ) throws(SFError) {
    try Search.checkSteps(keeps.count, method)
    let count = try Search.count(sizes, of: total)
    try Schedule.check(keeps, of: count, keep: keep)
    guard taken >= 0, taken <= keeps.count else { throw .badTaken(taken, steps: keeps.count) }
    self.method = method
    self.sizes = sizes
    self.total = count
    self.seed = seed
    self.keeps = keeps
    earlier = taken
  }

  /// How many steps were taken.
  public var taken: Int { earlier + reports.count }

  /// The report of a step that this search took itself; nil of earlier and later ones. Steps count
  /// from 1, the first of the whole search.
  public func report(ofStep step: Int) -> Report? {
    step > earlier && step <= taken ? reports[step - earlier - 1] : nil
  }

  /// Whether all steps were taken.
  public var isDone: Bool { taken == keeps.count }

  /// Takes one step.
  ///
  /// - Parameters:
  ///   - weights: the dense weights, the same at every step.
  ///   - gradients: of the loss at the masked weights, dense: also where a weight is removed. nil
  ///     where the method reads none.
  ///   - previous: the masks that the previous step wrote, which are only read; nil at the first.
  ///   - masks: the new masks, other memory than `previous`. Not specified after a throw.
  ///   - masked: nil, or where the weights are written with the removed ones replaced by zero, of
  ///     their types; at a later step they must be as the previous step left them. Not specified
  ///     after a throw at the first.
  ///   - ranks: the way to the other ranks, where there are any. They all take the step; if one of
  ///     them throws, all do, unless it was a sum that failed on some of them alone.
  /// - Throws: `searchDone`, `sizeMismatch`, `missingGradients`, `nonFinite`, `arraysChanged`,
  ///   `masksChanged`, `badType`, `badEnvironment`; with ranks also `badStart`, `rankFailed`,
  ///   `ranksDiffer`, `exchangeFailed`.
  public mutating func step(
    weights: [Tensor], gradients: [Tensor]?, previous: [Mask]?, masks: [Mask],
    masked: [MutableTensor]? = nil, ranks: Ranks? = nil
  ) throws(SFError) -> Report {
    var report: Report
    if let ranks {
      let selection = try ranks.preparing { () throws(SFError) in
        try ranks.check(sizes, of: total)
        return try nextSelection(weights, gradients, previous, masks, masked)
      }
      report = try SharedSelection.select(
        selection, of: total, ranks: ranks, digest: digest,
        ownKept: reports.last?.layerKept.reduce(0, +))
    } else {
      let own = sizes.reduce(0, +)
      guard own == total else {
        throw .sizeMismatch(.weights, tensor: nil, got: own, expected: total)
      }
      let selection = try nextSelection(weights, gradients, previous, masks, masked)
      report = try Selection.run(selection, wide: selection.scores.areWide)
    }
    report.step = taken + 1
    reports.append(report)
    return report
  }

  /// What the next step is to select; see `step`.
  private func nextSelection(
    _ weights: [Tensor], _ gradients: [Tensor]?, _ previous: [Mask]?, _ masks: [Mask],
    _ masked: [MutableTensor]?
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
    // A score that is computed from the weights tells of one that is not finite by itself.
    if reports.isEmpty && !method.saliency.readsWeights { try Selection.checkFinite(weights) }

    let scores = try Scores(
      method.saliency, weights: weights, gradients: gradients,
      candidates: method.rule == .nested ? previous : nil, seed: seed)
    return MaskSelection(
      scores: scores, keep: keeps[taken], masks: masks,
      previous: previous.map { ($0, keeps[taken - 1]) }, applying: masked.map { (weights, $0) })
  }

  /// Some bits of a hash of all that must be the same on all ranks.
  private var digest: Int {
    var hash = seed
    for number in [Method.allCases.firstIndex(of: method) ?? 0, total, taken] + keeps {
      hash = Generator.mix(hash ^ Generator.mix(UInt64(bitPattern: Int64(number))))
    }
    return Int(hash >> UInt64(64 - Meeting.digestBits))
  }

  /// The number of weights of all ranks.
  private static func count(_ sizes: [Int], of total: Int?) throws(SFError) -> Int {
    guard let total else { return try Selection.total(sizes) }
    guard total >= 1, total <= Keep.largestCount else { throw .badCount(total) }
    let own = try Selection.sum(sizes)
    guard own <= total else {
      throw .sizeMismatch(.weights, tensor: nil, got: own, expected: total)
    }
    return total
  }

  private static func checkSteps(_ steps: Int, _ method: Method) throws(SFError) {
    guard steps >= 1, steps == 1 || !method.isOneShot else {
      throw .badSteps(steps, oneShot: method.isOneShot)
    }
  }
}
