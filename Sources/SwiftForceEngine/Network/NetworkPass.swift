// Running a network's layers forward and backward in one call. What must not live here: the public
// calls and their checks (NetworkComputation.swift).

import SwiftForceCore

/// The parameters, threads and activation memory of one call, and the passes that it runs with
/// them.
struct NetworkPass<Element: BLASScalar> {
  private let architecture: Architecture
  private let activations: Activations<Element>
  private let parameters: ByLayer<Vector<Element>>
  /// Where gradients are written; nil if only forward passes are run.
  private let gradients: ByLayer<Vector<Element>?>?
  /// For each layer its kept weights, if it computes over them.
  private let sparse: [SparseLayer<Element>?]
  /// Whether gradients of kept weights are wanted from the sparse layers.
  private let trains: Bool
  private let normalization: Normalization
  private let context: ExecutionContext<Element>

  /// - Throws: `.badEnvironment` if an environment variable for threads or the CPU level is
  ///   invalid; `.noMemory` if BLAS lacks the memory that it needs.
  /// - Parameters:
  ///   - sparse: the kept weights of `parameters`, by layer; their values are copied from there, if
  ///     they are there.
  ///   - trains: whether sparse layers write gradients to their `SparseLayer`.
  init(
    _ network: Network<Element>, parameters: ByLayer<Vector<Element>>,
    sparse: [SparseLayer<Element>?], gradients: ByLayer<Vector<Element>?>? = nil,
    trains: Bool = false, normalization: Normalization
  ) throws(SFError) {
    architecture = network.architecture
    activations = network.activations
    self.parameters = parameters
    self.gradients = gradients
    self.sparse = sparse
    self.trains = trains
    self.normalization = normalization
    try LibraryCalls.prepare()
    context = ExecutionContext(
      team: Team(workers: try Threads.current()),
      tiles: Element.tiles(at: try CPULevel.current()))
    for (position, layer) in sparse.enumerated() {
      guard let layer, layer.isInDense else { continue }
      computation(layer).pack(parameters[position][0], into: layer.values)
    }
  }

  /// Joins the threads. The pass must not be used afterwards.
  func end() { context.team.join() }

  /// Computes the outputs, some samples at a time, and passes each part's outputs to `body`.
  func forEachMicroBatch(
    of batch: CheckedBatch<Element>, samples: Int,
    _ body: (_ range: Range<Int>, _ logits: Activation<Element>) -> Void
  ) throws(SFError) {
    for start in stride(from: 0, to: batch.count, by: samples) {
      let range = start..<min(start + samples, batch.count)
      try prepare(samples: range.count)
      body(range, forward(batch, range))
    }
  }

  /// Reserves memory for samples that are computed together.
  private func prepare(samples: Int) throws(SFError) {
    let windows =
      SparseSizes.usesPlanes(samples: samples)
      ? 0 : sparse.reduce(0) { max($0, $1?.weights.windowElements ?? 0) }
    try activations.prepare(
      batch: samples, includesBackward: gradients != nil, workspace: windows * context.team.workers,
      context)
    guard SparseSizes.usesPlanes(samples: samples) else { return }
    for case let layer? in sparse { try layer.weights.preparePlanes() }
  }

  /// The number of samples of a batch that are computed together.
  private func samplesTogether(in batch: CheckedBatch<Element>, together: Int?) -> Int {
    min(normalizesByBatch ? together ?? batch.count : Architecture.microBatch, batch.count)
  }

  /// Whether the samples of a batch depend on each other.
  private var normalizesByBatch: Bool {
    !architecture.normalizingLayers.isEmpty && normalization == .batch
  }

  /// Reserves all memory that `accumulate` needs, so that `accumulate` cannot fail afterwards.
  ///
  /// - Throws: `.noMemory`; `.badArchitecture` if a channel has only one number to normalise by.
  func reserveMemory(for batch: CheckedBatch<Element>, together: Int?) throws(SFError) {
    let samples = samplesTogether(in: batch, together: together)
    let rest = batch.count % samples
    if normalizesByBatch {
      try architecture.checkNormalization(samples: rest == 0 ? samples : rest)
    }
    // Both sizes: the memory grows to what the larger one needs, and never shrinks.
    for samples in [rest, samples] where samples > 0 { try prepare(samples: samples) }
    if trains && isPartlySmall(batch, together: together) {
      let sizes = sparse.indices.filter { keptGradient($0) != nil }.map { parameters[$0][0].count }
      try activations.prepareDenseGradient(count: 2 * (sizes.max() ?? 0))
    }
  }

  /// Whether samples are computed together that are too few for the sparse loops.
  func isPartlySmall(_ batch: CheckedBatch<Element>, together: Int?) -> Bool {
    let samples = samplesTogether(in: batch, together: together)
    return samples < SparseBatch.width || (1..<SparseBatch.width).contains(batch.count % samples)
  }

  /// Where a sparse layer keeps its gradient.
  private func keptGradient(_ position: Int) -> Vector<Element>? {
    guard trains, let layer = sparse[position] else { return nil }
    return layer.gradient
  }

  /// What copies between dense and compact arrays; the batch has no effect on that.
  private func computation(_ layer: SparseLayer<Element>) -> SparseComputation<Element> {
    SparseComputation(
      weights: layer.weights, batch: SparseBatch(samples: SparseBatch.width, isFlat: false),
      loops: layer.loops, team: context.team, scratch: layer.values.part(0..<0))
  }

  /// Writes the gradients of kept weights to the places for those of all weights, with zeros
  /// elsewhere.
  func unpackKeptGradients() {
    for (position, layer) in sparse.enumerated() {
      guard let layer, let kept = keptGradient(position), let target = gradients?[position][0]
      else { continue }
      computation(layer).unpack(kept, into: target)
    }
  }

  /// Takes a step of all sparse layers.
  func stepKept(_ sgd: SGD) {
    for case let layer? in sparse { layer.step(sgd) }
  }

  /// Sets the dense weights of the sparse layers to their kept ones, and to zeros where
  /// weights are removed.
  ///
  /// - Parameter all: whether those get them, too, that had none.
  func writeKept(all: Bool) {
    for (position, layer) in sparse.enumerated() {
      guard let layer, all || layer.isInDense else { continue }
      computation(layer).unpack(layer.values, into: parameters[position][0])
      layer.isInDense = true
    }
  }

  /// Runs the whole batch forward and backward, one micro-batch at a time. Each sample has the
  /// weight 1 / count, so the gradients of the micro-batches add up to the gradient of the mean
  /// loss.
  func accumulate(
    _ batch: CheckedBatch<Element>, together: Int?, of kind: Loss = .crossEntropy
  ) throws(SFError) -> BatchResult {
    try reserveMemory(for: batch, together: together)
    var total = BatchResult(loss: 0, correct: 0)
    let samples = samplesTogether(in: batch, together: together)
    try forEachMicroBatch(of: batch, samples: samples) { range, logits in
      let gradient = activations.gradient(architecture.layers.count)
      total.add(
        loss(batch, range, logits, of: kind)
          .sum(gradient: gradient, weight: 1 / Double(batch.count)))
      backward(accumulates: range.lowerBound > 0)
    }
    return total.mean(over: batch.count)
  }

  func loss(
    _ batch: CheckedBatch<Element>, _ range: Range<Int>, _ logits: Activation<Element>,
    of kind: Loss = .crossEntropy
  ) -> BatchLoss<Element> {
    let labels = activations.labels.part(0..<range.count)
    batch.gatherLabels(range, into: labels)
    return BatchLoss(
      loss: kind, logits: logits, labels: labels,
      workspace: activations.workspace.part(0..<2 * range.count))
  }

  /// Updates running statistics from those of the last micro-batch.
  func updateRunningStatistics() {
    for (position, layer) in architecture.layers.enumerated() {
      layer.updateRunningStatistics(pass(position))
    }
  }

  /// Runs some samples through all layers and returns the logits.
  private func forward(
    _ batch: CheckedBatch<Element>, _ range: Range<Int>
  ) -> Activation<Element> {
    batch.gather(range, into: activations.value(0))
    for (position, layer) in architecture.layers.enumerated() { layer.forward(pass(position)) }
    return activations.value(architecture.layers.count)
  }

  /// Runs backward passes from the logits down to the lowest layers that have parameters.
  private func backward(accumulates: Bool) {
    for position in architecture.layers.indices.reversed() {
      guard let outputGradient = activations.gradient(position + 1) else { continue }
      let targets = architecture.sources[position].indices.map { source in
        activations.partialGradient(position, source)
          ?? activations.gradient(architecture.sources[position][source])
      }
      let kept = keptGradient(position)
      let small = kept.flatMap { _ in smallBatchGradient(position, outputGradient) }
      var own = gradients?[position] ?? []
      if let small { own[0] = small }
      architecture.layers[position].backward(
        pass(position),
        BackwardPass(
          outputGradient: outputGradient, inputGradient: targets[0],
          addendGradient: targets.count > 1 ? targets[1] : nil, parameterGradients: own,
          keptGradient: small == nil ? kept : nil, accumulates: accumulates))
      if let small, let kept { gather(small, position, into: kept, accumulates: accumulates) }
      for (source, value) in architecture.sources[position].enumerated() {
        guard let partial = activations.partialGradient(position, source),
          let sum = activations.gradient(value)
        else { continue }
        sum.elements.assignSum(sum.elements, partial.elements)
      }
    }
  }

  /// Memory for the gradient of all weights of a layer, of zeros, if the batch is too small for the
  /// sparse loops.
  private func smallBatchGradient(
    _ position: Int, _ outputGradient: Activation<Element>
  ) -> Vector<Element>? {
    guard outputGradient.batch < SparseBatch.width else { return nil }
    let gradient = activations.denseGradient.part(0..<parameters[position][0].count)
    gradient.fill(with: 0)
    return gradient
  }

  /// Sets the gradient of a layer's kept weights to that in `dense`, or adds it.
  private func gather(
    _ dense: Vector<Element>, _ position: Int, into kept: Vector<Element>, accumulates: Bool
  ) {
    guard let layer = sparse[position] else { return }
    guard accumulates else {
      computation(layer).pack(dense, into: kept)
      return
    }
    let added = activations.denseGradient.part(dense.count..<dense.count + kept.count)
    computation(layer).pack(dense, into: added)
    kept.assignSum(kept, added)
  }

  private func pass(_ position: Int) -> Pass<Element> {
    let sources = architecture.sources[position]
    return Pass(
      input: activations.value(sources[0]),
      addend: sources.count > 1 ? activations.value(sources[1]) : nil,
      output: activations.value(position + 1), parameters: parameters[position],
      sparse: sparse[position], saved: activations.saved(position), normalization: normalization,
      workspace: activations.workspace, context: context)
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
