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
public struct Search: Sendable {
  public let method: Method
  /// Weights kept after each step.
  public let keeps: [Int]
  /// Size of each tensor.
  public let sizes: [Int]
  /// What each step did, in order.
  public private(set) var reports: [Report] = []

  private let seed: UInt64

  /// A search that follows a schedule.
  ///
  /// - Parameters:
  ///   - sizes: elements of each tensor of weights; some may be 0.
  ///   - keep: weights kept after the last step.
  ///   - steps: 1 for a one-shot method.
  ///   - seed: for the random saliency.
  /// - Throws: `badCount`, `badKeep`, `badSteps`.
  public init(
    _ method: Method, sizes: [Int], keep: Int, steps: Int, schedule: Schedule = .exponential,
    seed: UInt64 = 0
  ) throws(SFError) {
    try Search.checkSteps(steps, method)
    let count = try Selection.total(sizes)
    self.method = method
    self.sizes = sizes
    self.seed = seed
    keeps = try schedule.keeps(of: count, keep: keep, steps: steps)
  }

  /// A search that keeps the numbers of weights that the caller lists.
  ///
  /// - Throws: `badCount`, `badKeep`, `badSteps`, `badSchedule`.
  public init(
    _ method: Method, sizes: [Int], keep: Int, keeps: [Int], seed: UInt64 = 0
  ) throws(SFError) {
    try Search.checkSteps(keeps.count, method)
    try Schedule.check(keeps, of: Selection.total(sizes), keep: keep)
    self.method = method
    self.sizes = sizes
    self.seed = seed
    self.keeps = keeps
  }

  /// How many steps were taken.
  public var taken: Int { reports.count }

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
  /// - Throws: `searchDone`, `sizeMismatch`, `missingGradients`, `nonFinite`, `arraysChanged`,
  ///   `masksChanged`, `badType`, `badEnvironment`.
  public mutating func step(
    weights: [Tensor], gradients: [Tensor]?, previous: [Mask]?, masks: [Mask],
    masked: [MutableTensor]? = nil
  ) throws(SFError) -> Report {
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
    if taken == 0 && !method.saliency.readsWeights { try Selection.checkFinite(weights) }

    let scores = try Scores(
      method.saliency, weights: weights, gradients: gradients,
      candidates: method.rule == .nested ? previous : nil, seed: seed)
    var report = try Selection.select(
      from: scores, keep: keeps[taken], masks: masks,
      previous: previous.map { ($0, keeps[taken - 1]) }, applying: masked.map { (weights, $0) })
    report.step = taken + 1
    reports.append(report)
    return report
  }

  private static func checkSteps(_ steps: Int, _ method: Method) throws(SFError) {
    guard steps >= 1, steps == 1 || !method.isOneShot else {
      throw .badSteps(steps, oneShot: method.isOneShot)
    }
  }
}
