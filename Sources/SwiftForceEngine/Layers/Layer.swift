// What every layer is to the network: one protocol, and the views that it works on. A layer holds
// sizes, never memory or state, so that one description serves every element type. What must not
// live here: any particular layer.

import SwiftForceCore

/// The size of one sample between two layers, slowest dimension first: (features) or (channels,
/// height, width). The batch is stored innermost.
struct Shape: Sendable, Equatable {
  var dimensions: [Int]

  var features: Int { dimensions.reduce(1, *) }

  /// Channels, height and width, where it has them.
  var image: (channels: Int, height: Int, width: Int)? {
    dimensions.count == 3 ? (dimensions[0], dimensions[1], dimensions[2]) : nil
  }
}

/// One parameter tensor that a layer asks for.
struct ParameterDescription: Sendable, Equatable {
  let role: ParameterRole
  let shape: [Int]
  /// How many inputs each output of a weight has; 0 for other roles.
  var fanIn = 0
}

/// What a parameter is for. The order is the numbering that callers use.
public enum ParameterRole: Int, Named {
  /// May be pruned. Starts normally distributed with variance 2 / fan-in.
  case weight
  /// Trained, not pruned. Starts at 0.
  case bias
  /// Trained, not pruned. Starts at 1.
  case scale
  /// Not trained: follows the means of batches. Starts at 0.
  case mean
  /// Not trained: follows the variances of batches. Starts at 1.
  case variance

  /// Whether training steps change it.
  var isTrained: Bool { self == .weight || self == .bias || self == .scale }

  var startsAt: Double { self == .scale || self == .variance ? 1 : 0 }
}

/// Which memory a layer needs to find as it left it, so that the network can give it to others.
struct LayerNeeds: Sendable, Equatable {
  /// `forward` may write its output over its (first) input.
  var mayOverwriteInput = false
  /// `backward` may write the input's gradient over the output's.
  var mayOverwriteGradient = false
  /// `backward` reads the input.
  var readsInput = false
  /// `backward` reads the output.
  var readsOutput = false
  /// Numbers that `forward` leaves for `backward`, whatever the batch.
  var kept = 0
}

/// Which statistics a batch is normalised with.
public enum Normalization: Sendable, Equatable {
  /// Its own: samples of a batch depend on each other.
  case batch
  /// The running ones.
  case running
}

/// What layers compute with.
struct Means<Element: BLASScalar> {
  /// The threads of the call.
  let team: Team
  /// The inner loops of convolutions.
  let tiles: any TileLoops<Element>.Type
}

/// What a layer reads and writes in one pass over samples that are computed together. Activations
/// are (features, batch): feature-major, the batch innermost.
struct Pass<Element: BLASScalar> {
  let input: Matrix<Element>
  /// The second input of `add`.
  let addend: Matrix<Element>?
  /// Written by `forward`, read by `backward`.
  let output: Matrix<Element>
  /// The layer's parameters, in the order in which it describes them.
  let parameters: [Vector<Element>]
  /// As many numbers as the layer keeps from `forward` to `backward`.
  let kept: Vector<Element>
  let normalization: Normalization
  /// At least as many numbers as the layer's `workspace`; of no use to others.
  let workspace: Vector<Element>
  let means: Means<Element>
}

/// What a layer reads and writes on the way back.
struct BackwardPass<Element: BLASScalar> {
  /// The loss's gradient at the layer's output.
  let outputGradient: Matrix<Element>
  /// Gets the loss's gradient at the layer's input; nil where nobody below needs it.
  let inputGradient: Matrix<Element>?
  /// The same for the second input of `add`.
  let addendGradient: Matrix<Element>?
  /// Get the gradients of the parameters, in their order; nil where one is not wanted.
  let parameterGradients: [Vector<Element>?]
  /// Whether parameter gradients are added to what is there (every part of a batch but the first).
  let accumulates: Bool
}

/// A layer: sizes, and the two directions of its computation.
///
/// Both directions are O(batch) in what a sample costs and allocate nothing but a few small tables.
/// NaN and infinities in the input or the parameters go through to the output, as IEEE arithmetic
/// has it. What is computed does not depend on the number of threads.
protocol Layer: Sendable {
  var outputShape: Shape { get }

  /// The parameters that it needs, in a fixed order.
  var parameters: [ParameterDescription] { get }

  var needs: LayerNeeds { get }

  /// Numbers that it needs room for during `forward` or `backward`.
  func workspace<Element>(batch: Int, _ means: Means<Element>) -> Int

  /// Computes the output from input and parameters.
  func forward<Element>(_ pass: Pass<Element>)

  /// Computes the gradients that are asked for, after `forward` with the same pass.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>)

  /// Lets running statistics follow those of the batch, after `forward` with the same pass.
  func follow<Element>(_ pass: Pass<Element>)
}

extension Layer {
  var parameters: [ParameterDescription] { [] }

  func workspace<Element>(batch: Int, _ means: Means<Element>) -> Int { 0 }

  func follow<Element>(_ pass: Pass<Element>) {}
}
