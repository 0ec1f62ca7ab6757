// What every layer is to the network: one protocol, and the views that it works on. A layer holds
// sizes, never memory or state, so that one description serves every element type. What must not
// live here: any particular layer.

/// The size of one sample between two layers, slowest dimension first. The batch is stored
/// innermost, so samples of any shape with as many features have the same layout.
struct Shape: Sendable, Equatable {
  var dimensions: [Int]

  var features: Int { dimensions.reduce(1, *) }
}

/// One parameter tensor that a layer asks for.
struct ParameterDescription: Sendable, Equatable {
  enum Role: Sendable, Equatable {
    /// May be pruned. Drawn from a normal distribution whose variance is 2 / fanIn.
    case weight(fanIn: Int)
    /// Not pruned. Starts at zero.
    case bias
  }

  let role: Role
  let shape: [Int]
}

/// What a layer reads and writes in one pass over one micro-batch. Activations are (features,
/// batch): feature-major, the batch innermost.
struct Pass<Element: BLASScalar> {
  let input: Matrix<Element>
  /// Written by `forward`, read by `backward`.
  let output: Matrix<Element>
  /// The layer's parameters, in the order in which it describes them.
  let parameters: [Vector<Element>]
}

/// What a layer reads and writes on the way back.
struct BackwardPass<Element: BLASScalar> {
  /// The loss's gradient at the layer's output.
  let outputGradient: Matrix<Element>
  /// Gets the loss's gradient at the layer's input; nil where nobody below needs it.
  let inputGradient: Matrix<Element>?
  /// Get the gradients of the parameters, in their order; nil where one is not wanted.
  let parameterGradients: [Vector<Element>?]
  /// Whether parameter gradients are added to what is there (every micro-batch but the first).
  let accumulates: Bool
}

/// A layer: sizes, and the two directions of its computation.
///
/// Both directions are O(batch) in what a sample costs and allocate nothing. NaN and infinities in
/// the input or the parameters go through to the output, as IEEE arithmetic has it.
protocol Layer: Sendable {
  /// The only shape that it takes, or nil where it takes any.
  var inputShape: Shape? { get }

  /// The parameters that it needs, in a fixed order.
  var parameters: [ParameterDescription] { get }

  /// The shape that it makes of an input, which has as many features as `inputShape`.
  func outputShape(for input: Shape) -> Shape

  /// Computes the output from input and parameters.
  func forward<Element>(_ pass: Pass<Element>)

  /// Computes the gradients that are asked for, after `forward` with the same pass.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>)
}
