// The protocol that all layers conform to, and the arguments of its methods. A layer holds sizes,
// never memory or state, so that one value serves every element type. What must not live here: any
// particular layer.

import SwiftForceCore

/// The size of one sample between two layers, slowest dimension first: (features) or (channels,
/// height, width). `Activation` says how samples are stored.
struct Shape: Sendable, Equatable {
  var dimensions: [Int]

  var features: Int { dimensions.reduce(1, *) }

  /// Channels, height and width; nil for features.
  var image: (channels: Int, height: Int, width: Int)? {
    dimensions.count == 3 ? (dimensions[0], dimensions[1], dimensions[2]) : nil
  }
}

/// One parameter tensor that a layer needs.
struct ParameterDescription: Sendable, Equatable {
  let role: ParameterRole
  let shape: [Int]
  /// The number of inputs of each output of a weight; 0 for other roles.
  var fanIn = 0
}

/// What a parameter is for. Callers number the roles in this order.
public enum ParameterRole: Int, Named {
  /// Trained, may be pruned. Initially normal with variance 2 / fan-in.
  case weight
  /// Trained, not pruned. Initially 0.
  case bias
  /// Trained, not pruned. Initially 1.
  case scale
  /// Not trained: the running mean of batches. Initially 0.
  case mean
  /// Not trained: the running variance of batches. Initially 1.
  case variance

  /// Whether training steps change it.
  var isTrained: Bool { self == .weight || self == .bias || self == .scale }

  var initialValue: Double { self == .scale || self == .variance ? 1 : 0 }
}

/// What a layer's backward pass reads and what it may overwrite, from which memory is planned.
struct LayerNeeds: Sendable, Equatable {
  /// `forward` may overwrite its first input with its output.
  var mayOverwriteInput = false
  /// `backward` may overwrite the output's gradient with that of the first input.
  var mayOverwriteGradient = false
  /// `backward` reads the input.
  var readsInput = false
  /// `backward` reads the output.
  var readsOutput = false
  /// The number of elements that `forward` saves for `backward`, for any batch size.
  var saved = 0
}

/// Which statistics a batch is normalised with.
public enum Normalization: Sendable, Equatable {
  /// Those of the batch itself, which makes its samples depend on each other.
  case batch
  /// The running statistics.
  case running
}

/// What a layer may use while it runs.
struct ExecutionContext<Element: BLASScalar> {
  /// The threads of the call.
  let team: Team
  /// The inner loops of convolutions.
  let tiles: any TileLoops<Element>.Type
}

/// The arguments of a forward pass over samples that are computed together.
struct Pass<Element: BLASScalar> {
  let input: Activation<Element>
  /// The second input of `add`.
  let addend: Activation<Element>?
  /// Written by `forward`, read by `backward`.
  let output: Activation<Element>
  /// The layer's parameters, in the order in which it describes them.
  let parameters: [Vector<Element>]
  /// The kept weights, if the layer is masked and computes over them.
  let sparse: SparseLayer<Element>?
  /// `needs.saved` elements, which `forward` writes and `backward` reads.
  let saved: Vector<Element>
  let normalization: Normalization
  /// Scratch memory: at least as many elements as the layer's `workspace`.
  let workspace: Vector<Element>
  let context: ExecutionContext<Element>
}

extension Pass {
  /// What computes a product over kept weights; nil if it is computed over all weights.
  ///
  /// - Parameter isFlat: whether the layer reads and writes features.
  func sparse(isFlat: Bool) -> SparseComputation<Element>? {
    guard let sparse, input.batch >= SparseBatch.width else { return nil }
    return SparseComputation(
      weights: sparse.weights, batch: SparseBatch(samples: input.batch, isFlat: isFlat),
      loops: sparse.loops, team: context.team, scratch: workspace)
  }

  /// What computes the outputs of few samples over kept weights; nil if it is done otherwise.
  var planes: PlaneProduct<Element>? {
    guard let sparse, SparseSizes.usesPlanes(samples: input.batch) else { return nil }
    guard let lists = sparse.weights.planes else {
      preconditionFailure("lists of planes were not prepared")
    }
    return PlaneProduct(
      weights: sparse.weights, lists: lists, batch: input.batch, loops: sparse.loops,
      team: context.team)
  }
}

/// The additional arguments of a backward pass.
struct BackwardPass<Element: BLASScalar> {
  /// The loss's gradient at the layer's output; zero where there is no sample. The gradients of
  /// inputs must be zero there, too.
  let outputGradient: Activation<Element>
  /// Set to the loss's gradient at the layer's first input; nil if no layer below needs it.
  let inputGradient: Activation<Element>?
  /// Set to the gradient at the second input of `add`; nil if no layer below needs it.
  let addendGradient: Activation<Element>?
  /// Set to the gradients of the parameters, in their order; nil for those not computed.
  let parameterGradients: [Vector<Element>?]
  /// Set to the gradient of the kept weights; nil if that of all weights is wanted.
  let keptGradient: Vector<Element>?
  /// Whether parameter gradients are added to the existing ones, as for all micro-batches but the
  /// first.
  let accumulates: Bool
}

/// A layer: its sizes, its forward pass and its backward pass.
///
/// Both passes are linear in the batch and allocate nothing but a few small tables. NaN and
/// infinities in the input or the parameters propagate to the output as in IEEE arithmetic. Results
/// do not depend on the number of threads.
protocol Layer: Sendable {
  var outputShape: Shape { get }

  /// The parameters of the layer, in a fixed order.
  var parameters: [ParameterDescription] { get }

  var needs: LayerNeeds { get }

  /// The sizes of its product with the weight; nil if that cannot run over kept weights alone.
  var sparseSizes: SparseSizes? { get }

  /// The number of elements of scratch memory that `forward` and `backward` need.
  func workspace<Element>(batch: Int, _ context: ExecutionContext<Element>) -> Int

  /// The bytes of the tables that `workspace`, `forward` and `backward` make at the same time, at
  /// most.
  func tables(batch: Int, workers: Int) -> Int

  /// Computes the output from the input and the parameters.
  func forward<Element>(_ pass: Pass<Element>)

  /// Computes the gradients whose targets are not nil, after `forward` with the same pass.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>)

  /// Updates running statistics from those of the batch, after `forward` with the same pass.
  func updateRunningStatistics<Element>(_ pass: Pass<Element>)
}

extension Layer {
  var parameters: [ParameterDescription] { [] }

  var sparseSizes: SparseSizes? { nil }

  func workspace<Element>(batch: Int, _ context: ExecutionContext<Element>) -> Int { 0 }

  func tables(batch: Int, workers: Int) -> Int { 0 }

  func updateRunningStatistics<Element>(_ pass: Pass<Element>) {}
}
