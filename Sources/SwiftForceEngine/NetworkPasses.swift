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
    for range in microBatches(of: batch) {
      let output = propagate(batch, range, parameters: ownParameters)
      output.transpose(into: logits.part(range.lowerBound * classes..<range.upperBound * classes))
    }
  }

  /// Mean loss and number of correct samples. Nothing of the network changes.
  ///
  /// - Throws: as `Batch` is checked.
  public func evaluate(batch: Batch<Element>) throws(SFError) -> BatchResult {
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    var total = BatchResult(loss: 0, correct: 0)
    for range in microBatches(of: batch) {
      let output = propagate(batch, range, parameters: ownParameters)
      total.add(loss(batch, range, output).sum(gradient: nil, weight: 0))
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
  /// - Throws: `.sizeMismatch`; as `Batch` is checked.
  /// - Complexity: O(batch * n) for n weights; no memory beyond the network's.
  public func gradients(
    at weights: [Vector<Element>]?, into targets: [Vector<Element>], batch: Batch<Element>
  ) throws(SFError) -> BatchResult {
    if let weights { try layout.check(sizes: weights.map(\.count), of: .weights) }
    try layout.check(sizes: targets.map(\.count), of: .gradients)
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let parameters = weights.map(self.parameters(withWeights:)) ?? ownParameters
    return accumulate(batch, parameters: parameters, gradients: weightGradients(targets))
  }

  /// One step of stochastic gradient descent, over weights and biases.
  ///
  /// The gradient is that of the masked network: removed weights are put back to zero before it is
  /// taken and after the step. Where the loss of the batch is not finite, it is returned and the
  /// step is not taken: weights and momentum stay.
  ///
  /// - Returns: the result before the step.
  /// - Throws: `.badHyperparameter`; as `Batch` is checked; `.noMemory` at the first step.
  public func train(batch: Batch<Element>, sgd: SGD) throws(SFError) -> BatchResult {
    try sgd.check(for: Element.self)
    let batch = try batch.checked(features: features, classes: classes, needsLabels: true)
    let optimizer: Optimizer<Element>
    if let present = self.optimizer { optimizer = present } else { optimizer = try .init(layout) }
    self.optimizer = optimizer
    if let mask { parameterArena.all.clear(whereRemovedBy: mask.all) }
    let gradients: [Vector<Element>?] = layout.views(of: optimizer.gradients)
    let result = accumulate(
      batch, parameters: ownParameters,
      gradients: ByLayer(gradients, layout: layout, layers: architecture.layers.count))
    if result.loss.isFinite { optimizer.step(parameterArena, mask: mask, sgd) }
    return result
  }
}

extension Network {
  /// The caller's weights with the network's own biases.
  private func parameters(withWeights weights: [Vector<Element>]) -> ByLayer<Vector<Element>> {
    var remaining = weights[...]
    let views = parameters.map { parameter in
      (parameter.isWeight ? remaining.popFirst() : nil) ?? parameter.view
    }
    return ByLayer(views, layout: layout, layers: architecture.layers.count)
  }

  /// Targets for the weights, none for the biases.
  private func weightGradients(_ targets: [Vector<Element>]) -> ByLayer<Vector<Element>?> {
    var remaining = targets[...]
    let views = parameters.map { $0.isWeight ? remaining.popFirst() : nil }
    return ByLayer(views, layout: layout, layers: architecture.layers.count)
  }

  private func microBatches(of batch: CheckedBatch<Element>) -> [Range<Int>] {
    let size = Activations<Element>.capacity
    return stride(from: 0, to: batch.count, by: size).map { start in
      start..<min(start + size, batch.count)
    }
  }

  /// Runs the whole batch both ways, a micro-batch at a time. Each sample's gradient is weighted
  /// with 1 / count, so the gradients of the micro-batches simply add up to that of the mean.
  private func accumulate(
    _ batch: CheckedBatch<Element>, parameters: ByLayer<Vector<Element>>,
    gradients: ByLayer<Vector<Element>?>
  ) -> BatchResult {
    var total = BatchResult(loss: 0, correct: 0)
    for range in microBatches(of: batch) {
      let output = propagate(batch, range, parameters: parameters)
      let gradient = activations.gradient(architecture.layers.count, batch: range.count)
      total.add(
        loss(batch, range, output).sum(gradient: gradient, weight: 1 / Double(batch.count)))
      backpropagate(
        range.count, parameters: parameters, gradients: gradients,
        accumulates: range.lowerBound > 0)
    }
    return total.mean(over: batch.count)
  }

  /// Runs one micro-batch through all layers and gives the logits, (classes, range.count).
  private func propagate(
    _ batch: CheckedBatch<Element>, _ range: Range<Int>, parameters: ByLayer<Vector<Element>>
  ) -> Matrix<Element> {
    batch.gather(range, into: activations.values(0, batch: range.count))
    for (position, layer) in architecture.layers.enumerated() {
      layer.forward(pass(position, batch: range.count, parameters: parameters))
    }
    return activations.values(architecture.layers.count, batch: range.count)
  }

  /// Runs the gradient of the logits back to the first layer that has parameters.
  private func backpropagate(
    _ count: Int, parameters: ByLayer<Vector<Element>>, gradients: ByLayer<Vector<Element>?>,
    accumulates: Bool
  ) {
    let lowest = architecture.firstTrainable
    for position in (lowest..<architecture.layers.count).reversed() {
      let isLowest = position == lowest
      architecture.layers[position].backward(
        pass(position, batch: count, parameters: parameters),
        BackwardPass(
          outputGradient: activations.gradient(position + 1, batch: count),
          inputGradient: isLowest ? nil : activations.gradient(position, batch: count),
          parameterGradients: gradients[position], accumulates: accumulates))
    }
  }

  private func pass(
    _ position: Int, batch: Int, parameters: ByLayer<Vector<Element>>
  ) -> Pass<Element> {
    Pass(
      input: activations.values(position, batch: batch),
      output: activations.values(position + 1, batch: batch),
      parameters: parameters[position])
  }

  private func loss(
    _ batch: CheckedBatch<Element>, _ range: Range<Int>, _ logits: Matrix<Element>
  ) -> SoftmaxCrossEntropy<Element> {
    let labels = activations.labels(batch: range.count)
    batch.gatherLabels(range, into: labels)
    return SoftmaxCrossEntropy(
      logits: logits, labels: labels, workspace: activations.workspace(batch: range.count))
  }
}

extension BatchResult {
  fileprivate mutating func add(_ other: BatchResult) {
    loss += other.loss
    correct += other.correct
  }

  /// Turns a summed loss into the mean.
  fileprivate func mean(over count: Int) -> BatchResult {
    BatchResult(loss: loss / Double(count), correct: correct)
  }
}
