// The objective of a search at the masks of its last step, from gradients that the search has not
// selected by. What must not live here: the objective before a step, which the step reports.

extension Search {
  /// The sum of this search's scores, without damping, over the weights that masks keep. With the
  /// saliency `connectionSensitivity` it is the objective of FORCE,
  ///
  ///     S(c) = sum over kept i of abs(w_i dL/dw_i (w * c))
  ///
  /// The search does not change.
  ///
  /// - Parameters:
  ///   - weights: the dense weights.
  ///   - gradients: gradients of the loss at the masked weights.
  ///   - masks: those of the last step.
  ///   - ranks: the connection to the other ranks, which must call this, too; nil: there is one.
  /// - Returns: binary64; exact over ranks up to the rounding on each.
  /// - Throws: `noObjective` if the method reads no gradients; `sizeMismatch`, `missingGradients`,
  ///   `nonFinite`, `badEnvironment`; with ranks also `badStart`, `rankFailed`, `ranksDiffer`,
  ///   `exchangeFailed`.
  /// - Complexity: one pass over weights and gradients.
  public func objective(
    weights: [Tensor], gradients: [Tensor]?, masks: [Mask], ranks: Ranks? = nil
  ) throws(SFError) -> Double {
    guard let ranks else {
      let scores = try objectiveScores(weights, gradients, masks)
      return try ObjectiveSum(scores: scores).dispatch(wide: scores.areWide)
    }
    let scores = try ranks.reportingFailure { () throws(SFError) in
      try ranks.check(sizes, of: total)
      return try objectiveScores(weights, gradients, masks)
    }
    let digest = Generator.mix(digest(tensors: ranks.arePieces ? sizes.count : 0))
    let (isWide, _) = try ranks.agree(
      on: StepAgreement(
        digest: digest, total: total, weights: sizes.reduce(0, +), isWide: scores.areWide, kept: 0,
        expected: nil))
    var (own, failure): (Double, SFError?) = (0, nil)
    do throws(SFError) {
      own = try ObjectiveSum(scores: scores.among(ranks, wide: isWide)).dispatch(wide: isWide)
    } catch {
      failure = error
    }
    return ExactSum(digits: try ranks.sum(ExactSum(own).digits, unless: failure)).value
  }

  private func objectiveScores(
    _ weights: [Tensor], _ gradients: [Tensor]?, _ masks: [Mask]
  ) throws(SFError) -> Scores {
    guard saliency.readsGradients else { throw .noObjective(saliency) }
    try Selection.checkSizes(weights.map(\.count), sizes, .weights)
    if let gradients { try Selection.checkSizes(gradients.map(\.count), sizes, .gradients) }
    try Selection.checkSizes(masks.map(\.count), sizes, .masks)
    return try Scores(
      saliency, weights: weights, gradients: gradients, previous: masks,
      competition: .survivors)
  }
}

/// The sum of the scores that the previous masks keep.
private struct ObjectiveSum: KernelJob {
  let scores: Scores

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Double {
    let chunks = Chunk.all(of: scores.sizes)
    let workers = workers(threads, chunks, scores.sizes.reduce(0, +))
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let parts = Parallel.map(chunks.count, workers: workers) { worker, round in
      scores.objective(of: chunks[round], scratches[worker])
    }
    if !parts.allSatisfy(\.isFinite) { try scores.checkFinite() }
    return parts.reduce(0) { $0 + $1.sum }
  }
}
