// The loss that networks are trained and scored with. What must not live here: the loop, which is
// the kernels', and the mean over several micro-batches, which is the network's.

/// Softmax cross entropy of a batch: L = mean over samples of log(sum_c exp z_c) - z_label.
struct SoftmaxCrossEntropy<Element: BLASScalar> {
  /// (classes, batch).
  let logits: Matrix<Element>
  /// One per sample, each in 0 ..< classes.
  let labels: Vector<Int64>
  /// Two numbers for each sample.
  let workspace: Vector<Element>

  /// The summed loss and the number of correct samples.
  ///
  /// Stable for logits of any finite size. Where a logit is NaN or +infinity, so is the loss NaN.
  ///
  /// - Parameters:
  ///   - gradient: gets weight * (softmax - one-hot label), as large as the logits; nil: not wanted.
  ///   - weight: the share of one sample in the mean, 1 / batch.
  func sum(gradient: Matrix<Element>?, weight: Double) -> BatchResult {
    assert(labels.count == logits.columns && workspace.count == 2 * logits.columns, "sizes")
    let (loss, correct) = unsafe Element.softmaxCrossEntropy(
      logits.elements.base, classes: logits.rows, columns: logits.columns, labels: labels.base,
      weight: weight, gradient: gradient?.elements.base, workspace: workspace.base)
    return BatchResult(loss: loss, correct: correct)
  }
}
