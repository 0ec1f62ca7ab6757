// The network: what it is made of, what its caller can see of it, and its masks. What it computes
// is in NetworkComputation.swift, for Core's tensors in NetworkTensors.swift. What must not live here:
// element loops, pointers, or anything that only one kind of layer needs.

import SwiftForceCore

/// A feed-forward classifier that can be pruned, trained and evaluated.
///
/// One call at a time: two threads that share a network must take turns. Networks share nothing
/// with each other. A call that throws has changed nothing.
///
/// - Complexity: memory for the parameters, as much again twice from the first training step, a
///   byte per parameter while masked, and what the largest call so far needed for the activations of
///   the samples that it computed together: 256, or a whole batch that is normalised.
public final class Network<Element: BLASScalar> {
  let architecture: Architecture
  let layout: ParameterLayout
  let activations: Activations<Element>
  let parameterArena: Arena<Element>
  /// The views into `parameterArena`, for the passes.
  let ownParameters: ByLayer<Vector<Element>>
  var optimizer: Optimizer<Element>?
  /// A byte per element of the trained part of `parameterArena`; 1 at whatever is no weight.
  var mask: Arena<UInt8>?

  /// The parameters, layer by layer: weight before bias, scale before running statistics.
  public let parameters: [Parameter<Element>]

  /// A network with Kaiming-normal weights; biases and running means are 0, scales and running
  /// variances 1.
  ///
  /// - Parameters:
  ///   - layers: from input to output; the last one's output are the logits.
  ///   - inputShape: (features) or (channels, height, width) of a sample; nil: the inputs of the
  ///     first linear layer, where no layer but rectifiers comes before it.
  ///   - seed: selects the weights: the same seed gives the same network.
  /// - Throws: `.badArchitecture` naming the first layer at fault; `.noMemory`.
  /// - Complexity: O(n) for n parameters.
  public init(
    layers: [LayerDescription], inputShape: [Int]? = nil, seed: UInt64
  ) throws(SFError) {
    architecture = try Architecture(layers, inputShape: inputShape)
    let layout = ParameterLayout(architecture)
    self.layout = layout
    activations = try Activations(architecture)
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
        view.fill(with: Element(role.startsAt))
        continue
      }
      normal.fill(view, fanIn: entry.description.fanIn, stream: UInt64(stream))
    }
  }

  /// The trained part of the parameters.
  var trained: Vector<Element> { parameterArena.vector(at: 0, count: layout.trainedCount) }

  /// Numbers of one sample.
  public var features: Int { architecture.inputFeatures }

  /// Outputs: labels are in 0 ..< classes.
  public var classes: Int { architecture.outputFeatures }

  /// Elements of each prunable weight, in the order of `parameters`. Masks, and the weights and
  /// gradients of `gradients(at:into:batch:)`, come in this order.
  public var weightSizes: [Int] { layout.entries.filter(\.isWeight).map(\.count) }

  /// Removes weights, or lifts all masks.
  ///
  /// Removed weights and their momentum become +0 now. They are +0 again after every training
  /// step, even where the caller has written something else in between. Lifting masks leaves the
  /// weights as they are: zeros that may change from then on.
  ///
  /// - Parameter masks: one per prunable weight, copied; they replace those of an earlier call.
  ///   nil: no masks.
  /// - Throws: `.sizeMismatch`, `.noMemory`.
  /// - Complexity: O(n) for n parameters.
  public func apply(masks: [Mask]?) throws(SFError) {
    guard let masks else {
      mask = nil
      return
    }
    try layout.check(sizes: masks.map(\.count), of: .masks)
    let mask: Arena<UInt8>
    if let present = self.mask { mask = present } else { mask = try makeMask() }
    for (view, source) in zip(weightViews(of: mask), masks) {
      view.assign(unsafe Vector(source.address, count: source.count))
    }
    self.mask = mask
    trained.clear(whereRemovedBy: mask.all)
    optimizer?.clear(whereRemovedBy: mask)
  }

  /// Forgets all momentum, as a new optimizer would.
  public func resetOptimizer() { optimizer?.reset() }

  private func makeMask() throws(SFError) -> Arena<UInt8> {
    let mask = try Arena<UInt8>(count: layout.trainedCount)
    mask.all.fill(with: 1)
    return mask
  }

  private func weightViews<Kind>(of arena: Arena<Kind>) -> [Vector<Kind>] {
    zip(layout.entries, layout.trainedViews(of: arena)).compactMap { $0.isWeight ? $1 : nil }
  }
}

extension ParameterLayout {
  /// Checks a list that must hold one entry per prunable weight.
  ///
  /// - Throws: `.sizeMismatch` for the list, or for the first tensor at fault.
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
