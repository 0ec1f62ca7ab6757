// The computations of a network: outputs, gradients, a training step, an evaluation. What must not
// live here: how layers, loss and optimizer compute.

import SwiftForceCore

extension Network {
  /// Computes the outputs of every sample, before the softmax.
  ///
  /// - Parameters:
  ///   - batch: labels are not read.
  ///   - logits: written as batch.count x classes elements, row by row.
  /// - Throws: the errors of `Batch`; `.sizeMismatch` for the logits.
  public func forward(batch: Batch<Element>, into logits: Vector<Element>) throws(SFError) {
    let batch = try batch.checked(features: features, classes: classes, needsLabels: false)
    let (expected, overflow) = batch.count.multipliedReportingOverflow(by: classes)
    guard !overflow, logits.count == expected else {
      throw .sizeMismatch(.logits, tensor: nil, got: logits.count, expected: expected)
    }
    let pass = try evaluationPass()
    defer { pass.end() }
    try pass.forEachMicroBatch(of: batch, samples: Architecture.microBatch) { range, output in
      output.writeSamples(to: logits.part(range.lowerBound * classes..<range.upperBound * classes))
    }
  }

  /// Computes the mean loss and the number of correct samples. The network does not change.
  ///
  /// - Throws: the errors of `Batch`.
  public func evaluate(batch: Batch<Element>) throws(SFError) -> BatchResult {
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let pass = try evaluationPass()
    defer { pass.end() }
    var total = BatchResult(loss: 0, correct: 0)
    try pass.forEachMicroBatch(of: batch, samples: Architecture.microBatch) { range, output in
      total.add(pass.loss(batch, range, output).sum(gradient: nil, weight: 0))
    }
    return total.mean(over: batch.count)
  }

  /// Computes the dense gradients of the mean loss over the batch, at masked positions too.
  ///
  /// They are taken at the weights passed and the network's other parameters. The network does not
  /// change. Gradients that are not finite are returned as they are. The caller's arrays are read
  /// and written in place; nothing is written until everything has been checked.
  ///
  /// - Parameters:
  ///   - weights: one per prunable weight, as `weightSizes` says; nil: the network's own.
  ///   - targets: set to dL/dW, of the weights' sizes. They must not share memory with anything
  ///     else that this call reads or writes; otherwise the results are undefined.
  ///   - together: how many samples are normalised together; nil: the whole batch. It makes no
  ///     difference if no layer normalises by the batch.
  ///   - normalization: which statistics are used. Running statistics do not change.
  ///   - ofZeros: whether the gradients of weights that are zero, of those passed, are needed;
  ///     otherwise they may be given as zeros, which is faster.
  ///   - loss: the loss that gradients are taken of.
  /// - Throws: `.sizeMismatch`, `.badCount` for `together`, `.noMemory`; the errors of `Batch`.
  /// - Complexity: O(batch * n) for n weights; memory as documented for the network.
  public func gradients(
    at weights: [Vector<Element>]?, into targets: [Vector<Element>], batch: Batch<Element>,
    together: Int? = nil, normalization: Normalization = .batch, ofZeros: Bool = true,
    loss: Loss = .crossEntropy
  ) throws(SFError) -> BatchResult {
    if let together, together < 1 { throw .badCount(together) }
    if let weights { try layout.check(sizes: weights.map(\.count), of: .weights) }
    try layout.check(sizes: targets.map(\.count), of: .gradients)
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let parameters = weights.map(self.parameters(withWeights:)) ?? ownParameters
    let sparse = try weights.map(sparseLayers(ofNonzero:)) ?? self.sparse
    let ofKept = weights != nil && !ofZeros
    if ofKept {
      for case let layer? in sparse { try layer.prepareTraining() }
    }
    let unheld = unheld
    let pass = try NetworkPass(
      self, parameters: parameters, sparse: sparse, gradients: weightGradients(targets),
      trains: ofKept, normalization: normalization)
    defer { pass.end() }
    if weights == nil {
      // Products over all weights need the dense ones.
      if pass.isPartlySmall(batch, together: together) {
        writeDense()
      } else {
        releaseDense(unheld)
      }
    }
    let result = try pass.accumulate(batch, together: together, of: loss)
    pass.unpackKeptGradients()
    return result
  }

  /// Takes one step of stochastic gradient descent over all trained parameters.
  ///
  /// The gradient is that of the masked network: removed weights are set to zero before the
  /// gradient is taken, and again by the step. Normalising layers use the statistics of the batch,
  /// and running statistics are updated. If the loss is not finite, it is returned and the step is
  /// not taken: parameters and momentum do not change.
  ///
  /// - Returns: the result before the step.
  /// - Throws: `.badHyperparameter`; the errors of `Batch`; `.noMemory`.
  public func train(batch: Batch<Element>, sgd: SGD) throws(SFError) -> BatchResult {
    try sgd.check(for: Element.self)
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let optimizer = try prepareOptimizer()
    let unheld = unheld
    let pass = try NetworkPass(
      self, parameters: ownParameters, sparse: sparse,
      gradients: ByLayer(
        optimizer.gradientViews, layout: layout, layers: architecture.layers.count),
      trains: true, normalization: .batch)
    defer { pass.end() }
    try pass.reserveMemory(for: batch, together: nil)
    if let mask { optimizer.clear(trained, whereRemovedBy: mask) }
    if pass.isPartlySmall(batch, together: nil) {
      pass.writeKept(all: true)
    } else {
      releaseDense(unheld)
    }
    let result = try pass.accumulate(batch, together: nil)
    if result.loss.isFinite {
      pass.updateRunningStatistics()
      optimizer.step(trained, mask: mask, sgd)
      pass.stepKept(sgd)
    }
    pass.writeKept(all: false)
    return result
  }
}

extension Network {
  /// A pass at the network's own weights, with the running statistics.
  private func evaluationPass() throws(SFError) -> NetworkPass<Element> {
    let unheld = unheld
    let pass = try NetworkPass(
      self, parameters: ownParameters, sparse: sparse, normalization: .running)
    releaseDense(unheld)
    return pass
  }

  /// The optimizer, and the state of the layers that train compactly; new ones have no momentum.
  private func prepareOptimizer() throws(SFError) -> Optimizer<Element> {
    for case let layer? in sparse { try layer.prepareTraining() }
    if let optimizer { return optimizer }
    let new = try Optimizer<Element>(trainedLayout)
    optimizer = new
    return new
  }

  /// The caller's weights and the network's other parameters.
  private func parameters(withWeights weights: [Vector<Element>]) -> ByLayer<Vector<Element>> {
    var remaining = weights[...]
    let views = parameters.map { parameter in
      (parameter.role == .weight ? remaining.popFirst() : nil) ?? parameter.view
    }
    return ByLayer(views, layout: layout, layers: architecture.layers.count)
  }

  /// Targets for the weights, none for other parameters.
  private func weightGradients(_ targets: [Vector<Element>]) -> ByLayer<Vector<Element>?> {
    var remaining = targets[...]
    let views = parameters.map { $0.role == .weight ? remaining.popFirst() : nil }
    return ByLayer(views, layout: layout, layers: architecture.layers.count)
  }
}
