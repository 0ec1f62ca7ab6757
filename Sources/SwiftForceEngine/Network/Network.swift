// A network: its parts, its parameters and its masks. What it computes is in
// NetworkComputation.swift, and the same for Core's tensors in NetworkTensors.swift. What must not
// live here: loops over elements, pointers, or anything that only one kind of layer needs.

import SwiftForceCore

/// A feed-forward classifier that can be pruned, trained and evaluated.
///
/// One call at a time: threads that share a network must synchronize. Networks share no state with
/// each other. A call that throws has changed nothing.
///
/// - Complexity: memory for the parameters; twice as much again from the first training step on; a
///   byte per parameter while masks are applied; and the activations of the largest call so far,
///   for 256 samples, or for a whole batch if it is normalised. A layer that computes over its kept
///   weights takes some 30 bytes for each of them instead, while nobody holds the view of its weight.
///   `remember` copies what there is of the parameters.
public final class Network<Element: BLASScalar> {
  let architecture: Architecture
  let layout: ParameterLayout
  let activations: Activations<Element>
  let parameterArena: Arena<Element>
  /// Views into `parameterArena`, by layer.
  let ownParameters: ByLayer<Vector<Element>>
  var optimizer: Optimizer<Element>?
  /// For each layer its kept weights, if masks are applied and it computes over them.
  var sparse: [SparseLayer<Element>?]
  /// The other parameters that are trained.
  var trainedLayout: TrainedLayout
  /// A byte per element of `trainedLayout`; 1 where there is no weight.
  var mask: Arena<UInt8>?
  /// What `restore` puts back, one per parameter.
  var copies: [ParameterCopy<Element>]?
  /// Who uses the views of `parameters`.
  public let holds: Holds

  /// The parameters, layer by layer: weight before bias, scale before running statistics.
  public let parameters: [Parameter<Element>]

  /// Creates a network with Kaiming-normal weights. Biases and running means are 0; scales and
  /// running variances are 1.
  ///
  /// - Parameters:
  ///   - layers: from input to output; the output of the last one is the logits.
  ///   - inputShape: (features) or (channels, height, width) of a sample; nil: the inputs of the
  ///     first linear layer, if only rectifiers come before it.
  ///   - seed: determines the weights; the same seed gives the same network.
  /// - Throws: `.badArchitecture` with the first invalid layer; `.noMemory`.
  /// - Complexity: O(n) for n parameters.
  public init(
    layers: [LayerDescription], inputShape: [Int]? = nil, seed: UInt64
  ) throws(SFError) {
    architecture = try Architecture(layers, inputShape: inputShape)
    let layout = ParameterLayout(architecture)
    self.layout = layout
    activations = try Activations(architecture)
    sparse = [SparseLayer<Element>?](repeating: nil, count: architecture.layers.count)
    trainedLayout = TrainedLayout(layout)
    holds = Holds(count: layout.entries.count)
    parameterArena = try Arena(count: layout.count)
    let views = layout.views(of: parameterArena)
    ownParameters = ByLayer(views, layout: layout, layers: layers.count)
    parameters = zip(layout.entries, views).map { entry, view in
      Parameter(
        layer: entry.layer, role: entry.description.role, shape: entry.description.shape,
        view: view)
    }
    initialize(seed: seed)
  }

  private func initialize(seed: UInt64) {
    let normal = KaimingNormal(seed: seed)
    for (stream, entry) in layout.entries.enumerated() {
      let (view, role) = (parameters[stream].view, entry.description.role)
      guard role == .weight else {
        view.fill(with: Element(role.initialValue))
        continue
      }
      normal.fill(view, fanIn: entry.description.fanIn, stream: UInt64(stream))
    }
  }

  /// The trained part of the parameters.
  var trained: Vector<Element> { parameterArena.vector(at: 0, count: layout.trainedCount) }

  /// The number of elements of a sample.
  public var features: Int { architecture.inputFeatures }

  /// The number of outputs; labels are in 0 ..< classes.
  public var classes: Int { architecture.outputFeatures }

  /// The number of elements of each prunable weight, in the order of `parameters`. Masks, and the
  /// weights and gradients of `gradients(at:into:batch:)`, have the same order.
  public var weightSizes: [Int] { layout.entries.filter(\.isWeight).map(\.count) }

  /// Applies masks, or removes all masks.
  ///
  /// Masked weights and their momentum become +0 now, and again after every training step, even if
  /// the caller has written something else in between. Without masks the weights stay as they are:
  /// zeros that training may change.
  ///
  /// - Parameters:
  ///   - masks: one per prunable weight, copied; they replace those of an earlier call. nil: no
  ///     masks.
  ///   - isSparse: whether layers that are faster with kept weights alone compute with them.
  /// - Throws: `.sizeMismatch`, `.noMemory`.
  /// - Complexity: O(n) for n parameters.
  public func apply(masks: [Mask]?, isSparse: Bool = true) throws(SFError) {
    guard let masks else {
      try change(mask: nil, sparse: sparse.map { _ in nil }, TrainedLayout(layout))
      return
    }
    try layout.check(sizes: masks.map(\.count), of: .masks)
    let copies = try WeightMasks(masks)
    defer { withExtendedLifetime(copies) {} }
    let sparse = isSparse ? try sparseLayers(copies.views) : self.sparse.map { _ in nil }
    let layout = TrainedLayout(layout, without: compactTensors(sparse))
    let mask = try Arena<UInt8>(count: layout.count)
    mask.all.fill(with: 1)
    var weights = copies.views[...]
    for (target, entry) in zip(layout.views(of: mask), self.layout.entries) where entry.isWeight {
      guard let source = weights.popFirst() else { continue }
      target?.assign(source)
    }
    try change(mask: mask, sparse: sparse, layout)
    for (parameter, mask) in zip(parameters.filter { $0.role == .weight }, copies.views) {
      parameter.view.clear(whereRemovedBy: mask)
    }
    optimizer?.clearMomentum(whereRemovedBy: mask)
  }

  /// Sets all momentum to zero, as in a new optimizer.
  public func resetOptimizer() {
    optimizer?.reset()
    for layer in sparse { layer?.momentum?.fill(with: 0) }
  }
}

extension ParameterLayout {
  /// Checks that a list has one entry per prunable weight, of the right size.
  ///
  /// - Throws: `.sizeMismatch` for the list, or for the first tensor of another size.
  func check(sizes: [Int], of operand: Operand) throws(SFError) {
    let expected = entries.filter(\.isWeight).map(\.count)
    guard sizes.count == expected.count else {
      throw .sizeMismatch(operand, tensor: nil, got: sizes.count, expected: expected.count)
    }
    for (tensor, (got, expected)) in zip(sizes, expected).enumerated() where got != expected {
      throw .sizeMismatch(operand, tensor: tensor, got: got, expected: expected)
    }
  }
}
