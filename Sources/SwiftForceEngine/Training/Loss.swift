// The loss for training and scoring. What must not live here: its loop (SwiftForceKernels), and the
// mean over several micro-batches (NetworkPass).

/// Softmax cross entropy of a batch: L = mean over samples of log(sum_c exp z_c) - z_label.
struct SoftmaxCrossEntropy<Element: BLASScalar> {
  let logits: Activation<Element>
  /// One per sample, each in 0 ..< classes.
  let labels: Vector<Int64>
  /// Scratch memory: two elements for each sample.
  let workspace: Vector<Element>

  /// The summed loss and the number of correct samples.
  ///
  /// Stable for all finite logits. If a logit is NaN or +infinity, the loss is NaN.
  ///
  /// - Parameters:
  ///   - gradient: set to weight * (softmax - one-hot label), of the logits' shape, and to zero
  ///     where there is no sample; nil: not computed.
  ///   - weight: the weight of one sample in the mean, 1 / batch.
  func sum(gradient: Activation<Element>?, weight: Double) -> BatchResult {
    assert(labels.count == logits.batch && workspace.count == 2 * logits.batch, "sizes")
    var total = BatchResult(loss: 0, correct: 0)
    for block in 0..<logits.blocks {
      let samples = logits.samples(ofBlock: block)
      let target = gradient?.part(block: block)
      let (loss, correct) = unsafe Element.softmaxCrossEntropy(
        logits.part(block: block).base, classes: logits.features, columns: samples.count,
        stride: logits.lanes, labels: labels.part(samples).base, weight: weight,
        gradient: target?.base, workspace: workspace.base)
      total.add(BatchResult(loss: loss, correct: correct))
    }
    return total
  }
}
