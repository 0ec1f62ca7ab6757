// The exact global top-k over a list of tensors. Scores are computed one block at a time and never
// stored. What must not live here: what a score is (Scores), how many weights to keep (Keep,
// Schedule), or in which passes the masks are found (MaskSelection).

/// Keeping the k best of all weights.
///
/// Order: larger score first, then lower position (tensors in the order given, elements in memory
/// order). Exactly k are kept; -0 equals +0. Scores are binary32, or binary64 if any array that is
/// read holds binary64. The mask is the same for any number of threads and on every CPU level.
///
/// - Complexity: one pass over the tensors if the scores allow it, else one per digit of a key and
///   at most three more; extra memory of at most 2% of the tensors if they are large.
public enum Selection {
  /// Selects among the caller's scores, which may be negative.
  ///
  /// - Parameters:
  ///   - keep: how many weights to keep, or what those may cost that are kept.
  ///   - masks: one per tensor of scores and of the same size; written. Their contents are
  ///     unspecified after `nonFinite` and `arraysChanged`.
  ///   - limits: what limits which weights may be kept.
  /// - Throws: `badCount`, `badKeep`, `sizeMismatch`, `nonFinite`, `arraysChanged`, `badBounds`,
  ///   `badEnvironment`.
  public static func select(
    _ scores: [Tensor], keep: Int, into masks: [Mask], limits: Limits = Limits()
  ) throws(SFError) -> Report {
    let sizes = scores.map(\.count)
    try Keep.check(keep, of: try limits.most(of: sizes))
    try checkSizes(masks.map(\.count), sizes, .masks)
    try limits.check([keep], of: sizes)
    let source = Scores(given: scores)
    let selection = MaskSelection(
      scores: source, keep: keep, masks: masks, previous: nil, applying: nil)
    return try limits.select(selection)
  }

  /// Writes the score of every weight.
  ///
  /// - Parameters:
  ///   - gradients: one per tensor of weights and of the same size; nil if the saliency reads none.
  ///   - seed: for the random saliency.
  ///   - scores: one per tensor of weights, of the same size and of the type that scores are
  ///     computed in; unspecified after `nonFinite`.
  /// - Throws: `badCount`, `sizeMismatch`, `missingGradients`, `scoresAreGiven`, `nonFinite`,
  ///   `badEnvironment`, `badType`.
  public static func score(
    _ saliency: Saliency, weights: [Tensor], gradients: [Tensor]?, seed: UInt64,
    into scores: [MutableTensor]
  ) throws(SFError) {
    let sizes = weights.map(\.count)
    _ = try total(sizes)
    if let gradients { try checkSizes(gradients.map(\.count), sizes, .gradients) }
    try checkSizes(scores.map(\.count), sizes, .scores)
    guard saliency != .given else { throw .scoresAreGiven }
    let source = try Scores(
      saliency, weights: weights, gradients: gradients, previous: nil, seed: seed)
    let type: ElementType = source.areWide ? .float64 : .float32
    try checkTypes(scores.map(\.type), scores.map { _ in type }, .scores)
    if !saliency.readsWeights { try checkFinite(weights) }
    let writing = ScoreWriting(source: source, targets: scores)
    try writing.dispatch(wide: source.areWide)
  }

  /// Selects among the scores of a source. The caller has checked every size.
  ///
  /// - Parameters:
  ///   - previous: the masks of the step before, and how many weights they must keep.
  ///   - applying: the dense weights, and the arrays that receive them with removed weights set to
  ///     zero.
  ///   - level, threads: nil: those in use.
  static func select(
    from scores: Scores, keep: Int, masks: [Mask], previous: (masks: [Mask], keep: Int)?,
    applying: (weights: [Tensor], masked: [MutableTensor])?, level: CPULevel? = nil,
    threads: Int? = nil
  ) throws(SFError) -> Report {
    let selection = MaskSelection(
      scores: scores, keep: keep, masks: masks, previous: previous, applying: applying)
    return try selection.dispatch(wide: scores.areWide, level: level, threads: threads)
  }

  /// The number of weights in tensors of these sizes.
  ///
  /// - Throws: `badCount` unless there is at least one.
  static func total(_ sizes: [Int]) throws(SFError) -> Int {
    let total = try sum(sizes)
    guard total >= 1, total <= Keep.largestCount else { throw .badCount(total) }
    return total
  }

  /// The sum of sizes; it may be 0.
  ///
  /// - Throws: `badCount` if a size is negative or the sum overflows.
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
    for (i, (size, needed)) in zip(sizes, expected).enumerated() where size != needed {
      throw .sizeMismatch(operand, tensor: i, got: size, expected: needed)
    }
  }

  static func checkTypes(
    _ types: [ElementType], _ expected: [ElementType], _ operand: Operand
  ) throws(SFError) {
    for (i, (type, needed)) in zip(types, expected).enumerated() where type != needed {
      throw .badType(operand, tensor: i, got: type, expected: needed)
    }
  }

  static func checkFinite(_ weights: [Tensor]) throws(SFError) {
    if let found = FiniteCheck.first(in: weights, as: .weights) { throw .nonFinite(found) }
  }
}

/// Writes scores into the caller's arrays.
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
