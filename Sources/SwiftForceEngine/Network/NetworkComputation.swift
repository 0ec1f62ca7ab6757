// What a network computes: forward, backward, a training step, an evaluation. What must not live
// here: how a layer, the loss or the optimizer does its part.

import SwiftForceCore

extension Network {
  /// The outputs for every sample, before the softmax.
  ///
  /// - Parameters:
  ///   - batch: labels are not read.
  ///   - logits: gets batch.count x classes numbers, row by row.
  /// - Throws: as `Batch` is checked; `.sizeMismatch` for the logits.
  public func forward(batch: Batch<Element>, into logits: Vector<Element>) throws(SFError) {
    let batch = try batch.checked(features: features, classes: classes, needsLabels: false)
    let (expected, overflow) = batch.count.multipliedReportingOverflow(by: classes)
    guard !overflow, logits.count == expected else {
      throw .sizeMismatch(.logits, tensor: nil, got: logits.count, expected: expected)
    }
    let pass = try NetworkPass(self, parameters: ownParameters, normalization: .running)
    defer { pass.end() }
    try pass.forEachPart(of: batch, samples: Architecture.usualBatch) { range, output in
      output.transpose(into: logits.part(range.lowerBound * classes..<range.upperBound * classes))
    }
  }

  /// Mean loss and number of correct samples. Nothing of the network changes.
  ///
  /// - Throws: as `Batch` is checked.
  public func evaluate(batch: Batch<Element>) throws(SFError) -> BatchResult {
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let pass = try NetworkPass(self, parameters: ownParameters, normalization: .running)
    defer { pass.end() }
    var total = BatchResult(loss: 0, correct: 0)
    try pass.forEachPart(of: batch, samples: Architecture.usualBatch) { range, output in
      total.add(pass.loss(batch, range, output).sum(gradient: nil, weight: 0))
    }
    return total.mean(over: batch.count)
  }

  /// The dense gradients of the mean loss over the batch, at masked positions too.
  ///
  /// They are taken at the weights passed together with the network's own biases. The network is
  /// not changed. Gradients that are not finite are returned as they are. The caller's arrays are
  /// read and written in place; nothing is written unless everything has been checked.
  ///
  /// - Parameters:
  ///   - weights: one per prunable weight, as `weightSizes` says; nil: the network's own.
  ///   - targets: get dL/dW, as large as the weights. They must share memory with nothing else
  ///     that this call reads or writes: if they do, the numbers mean nothing.
  ///   - together: how many samples are normalised together; nil: the whole batch. Where nothing is
  ///     normalised by the batch, it makes no difference.
  ///   - normalization: which statistics are used; the running ones stay as they are in any case.
  /// - Throws: `.sizeMismatch`, `.badCount` for `together`, `.noMemory`; as `Batch` is checked.
  /// - Complexity: O(batch * n) for n weights; memory as the network's.
  public func gradients(
    at weights: [Vector<Element>]?, into targets: [Vector<Element>], batch: Batch<Element>,
    together: Int? = nil, normalization: Normalization = .batch
  ) throws(SFError) -> BatchResult {
    if let together, together < 1 { throw .badCount(together) }
    if let weights { try layout.check(sizes: weights.map(\.count), of: .weights) }
    try layout.check(sizes: targets.map(\.count), of: .gradients)
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let parameters = weights.map(self.parameters(withWeights:)) ?? ownParameters
    let pass = try NetworkPass(
      self, parameters: parameters, gradients: weightGradients(targets),
      normalization: normalization)
    defer { pass.end() }
    return try pass.accumulate(batch, together: together)
  }

  /// One step of stochastic gradient descent, over all that is trained.
  ///
  /// The gradient is that of the masked network: removed weights are put back to zero before it is
  /// taken and after the step. Batches are normalised by themselves, and running statistics follow.
  /// Where the loss of the batch is not finite, it is returned and the step is not taken: parameters
  /// and momentum stay.
  ///
  /// - Returns: the result before the step.
  /// - Throws: `.badHyperparameter`; as `Batch` is checked; `.noMemory`.
  public func train(batch: Batch<Element>, sgd: SGD) throws(SFError) -> BatchResult {
    try sgd.check(for: Element.self)
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let optimizer: Optimizer<Element>
    if let present = self.optimizer { optimizer = present } else { optimizer = try .init(layout) }
    self.optimizer = optimizer
    let pass = try NetworkPass(
      self, parameters: ownParameters,
      gradients: ByLayer(
        layout.trainedViews(of: optimizer.gradients), layout: layout,
        layers: architecture.layers.count),
      normalization: .batch)
    defer { pass.end() }
    try pass.makeRoom(for: batch, together: nil)
    if let mask { trained.clear(whereRemovedBy: mask.all) }
    let result = try pass.accumulate(batch, together: nil)
    if result.loss.isFinite {
      pass.follow()
      optimizer.step(trained, mask: mask, sgd)
    }
    return result
  }
}

extension Network {
  /// The caller's weights with the network's own other parameters.
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
