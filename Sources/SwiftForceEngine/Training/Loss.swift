// The loss for training and scoring. What must not live here: its loop (SwiftForceKernels), and the
// mean over several micro-batches (NetworkPass).

/// Softmax cross entropy of a batch: L = mean over samples of log(sum_c exp z_c) - z_label.
struct SoftmaxCrossEntropy<Element: BLASScalar> {
  /// (classes, batch).
  let logits: Matrix<Element>
  /// One per sample, each in 0 ..< classes.
  let labels: Vector<Int64>
  /// Scratch memory: two elements for each sample.
  let workspace: Vector<Element>

  /// The summed loss and the number of correct samples.
  ///
  /// Stable for all finite logits. If a logit is NaN or +infinity, the loss is NaN.
  ///
  /// - Parameters:
  ///   - gradient: set to weight * (softmax - one-hot label), of the logits' shape; nil: not
  ///     computed.
  ///   - weight: the weight of one sample in the mean, 1 / batch.
  func sum(gradient: Matrix<Element>?, weight: Double) -> BatchResult {
    assert(labels.count == logits.columns && workspace.count == 2 * logits.columns, "sizes")
    let (loss, correct) = unsafe Element.softmaxCrossEntropy(
      logits.elements.base, classes: logits.rows, columns: logits.columns, labels: labels.base,
      weight: weight, gradient: gradient?.elements.base, workspace: workspace.base)
    return BatchResult(loss: loss, correct: correct)
  }
}
