// One call of a network on its way through the layers and back. What must not live here: which
// calls there are, and what they check.

import SwiftForceCore

/// What one call computes with: parameters, threads, and the network's memory for activations.
struct NetworkPass<Element: BLASScalar> {
  private let architecture: Architecture
  private let activations: Activations<Element>
  private let parameters: ByLayer<Vector<Element>>
  /// Where gradients go; nil where the pass only goes forward.
  private let gradients: ByLayer<Vector<Element>?>?
  private let normalization: Normalization
  private let means: Means<Element>

  /// - Throws: `.badEnvironment` where a variable for threads or CPU level cannot be followed.
  init(
    _ network: Network<Element>, parameters: ByLayer<Vector<Element>>,
    gradients: ByLayer<Vector<Element>?>? = nil, normalization: Normalization
  ) throws(SFError) {
    architecture = network.architecture
    activations = network.activations
    self.parameters = parameters
    self.gradients = gradients
    self.normalization = normalization
    means = Means(
      team: Team(workers: try Threads.current()),
      tiles: Element.tiles(at: try CPULevel.current()))
  }

  /// Joins the threads. The pass must not be used after that.
  func end() { means.team.disband() }

  /// Computes the outputs, some samples at a time, and hands over those of each part.
  func forEachPart(
    of batch: CheckedBatch<Element>, samples: Int,
    _ body: (_ range: Range<Int>, _ logits: Matrix<Element>) -> Void
  ) throws(SFError) {
    for start in stride(from: 0, to: batch.count, by: samples) {
      let range = start..<min(start + samples, batch.count)
      try activations.prepare(batch: range.count, goesBack: gradients != nil, means)
      body(range, forward(batch, range))
    }
  }

  /// How many samples of a batch are computed together.
  private func part(of batch: CheckedBatch<Element>, together: Int?) -> Int {
    min(isCoupled ? together ?? batch.count : Architecture.usualBatch, batch.count)
  }

  /// Whether samples of a batch depend on each other.
  private var isCoupled: Bool { !architecture.normalizing.isEmpty && normalization == .batch }

  /// Does all of `accumulate` that can fail, so that it does not.
  ///
  /// - Throws: `.noMemory`; `.badArchitecture` where there is nothing to normalise by.
  func makeRoom(for batch: CheckedBatch<Element>, together: Int?) throws(SFError) {
    let samples = part(of: batch, together: together)
    let rest = batch.count % samples
    if isCoupled { try architecture.checkSpread(samples: rest == 0 ? samples : rest) }
    // The memory grows to what both need, and does not shrink.
    for samples in [rest, samples] where samples > 0 {
      try activations.prepare(batch: samples, goesBack: gradients != nil, means)
    }
  }

  /// Runs the whole batch both ways, a part at a time. Each sample's gradient is weighted with
  /// 1 / count, so the gradients of the parts simply add up to that of the mean.
  func accumulate(
    _ batch: CheckedBatch<Element>, together: Int?
  ) throws(SFError) -> BatchResult {
    try makeRoom(for: batch, together: together)
    var total = BatchResult(loss: 0, correct: 0)
    try forEachPart(of: batch, samples: part(of: batch, together: together)) { range, logits in
      let gradient = activations.gradient(architecture.layers.count)
      total.add(
        loss(batch, range, logits).sum(gradient: gradient, weight: 1 / Double(batch.count)))
      backward(accumulates: range.lowerBound > 0)
    }
    return total.mean(over: batch.count)
  }

  func loss(
    _ batch: CheckedBatch<Element>, _ range: Range<Int>, _ logits: Matrix<Element>
  ) -> SoftmaxCrossEntropy<Element> {
    let labels = activations.labels.part(0..<range.count)
    batch.gatherLabels(range, into: labels)
    return SoftmaxCrossEntropy(
      logits: logits, labels: labels, workspace: activations.workspace.part(0..<2 * range.count))
  }

  /// Lets running statistics follow those of the last part.
  func follow() {
    for (position, layer) in architecture.layers.enumerated() { layer.follow(pass(position)) }
  }

  /// Runs some samples through all layers and gives the logits, (classes, samples).
  private func forward(_ batch: CheckedBatch<Element>, _ range: Range<Int>) -> Matrix<Element> {
    batch.gather(range, into: activations.value(0))
    for (position, layer) in architecture.layers.enumerated() { layer.forward(pass(position)) }
    return activations.value(architecture.layers.count)
  }

  /// Runs the gradient of the logits back to the lowest layers that have parameters.
  private func backward(accumulates: Bool) {
    for position in architecture.layers.indices.reversed() {
      guard let outputGradient = activations.gradient(position + 1) else { continue }
      let targets = architecture.sources[position].indices.map { place in
        activations.addition(position, place)
          ?? activations.gradient(architecture.sources[position][place])
      }
      architecture.layers[position].backward(
        pass(position),
        BackwardPass(
          outputGradient: outputGradient, inputGradient: targets[0],
          addendGradient: targets.count > 1 ? targets[1] : nil,
          parameterGradients: gradients?[position] ?? [], accumulates: accumulates))
      for (place, value) in architecture.sources[position].enumerated() {
        guard let addition = activations.addition(position, place),
          let sum = activations.gradient(value)
        else { continue }
        sum.elements.assignSum(sum.elements, addition.elements)
      }
    }
  }

  private func pass(_ position: Int) -> Pass<Element> {
    let sources = architecture.sources[position]
    return Pass(
      input: activations.value(sources[0]),
      addend: sources.count > 1 ? activations.value(sources[1]) : nil,
      output: activations.value(position + 1), parameters: parameters[position],
      kept: activations.kept(position), normalization: normalization,
      workspace: activations.workspace, means: means)
  }
}

extension BatchResult {
  mutating func add(_ other: BatchResult) {
    loss += other.loss
    correct += other.correct
  }

  /// Turns a summed loss into the mean.
  func mean(over count: Int) -> BatchResult {
    BatchResult(loss: loss / Double(count), correct: correct)
  }
}
