// What a caller says about a network that is to be made: the list of layer kinds, and one layer's
// sizes. What must not live here: what a layer computes (Layers/), or whether layers fit together
// (Architecture).

import SwiftForceCore

/// The kinds of layer. The order is the numbering that callers use; the names are published from
/// here, so a new kind is one case, its line in `makeLayer`, and one file under Layers/.
public enum LayerKind: Named {
  /// y = W x + b.
  case linear
  /// y = max(x, 0).
  case relu
}

/// One layer of a network that is to be made.
public struct LayerDescription: Sendable, Equatable {
  public var kind: LayerKind
  /// Input features of a linear layer; 0 for layers that keep the size of their input.
  public var inputs: Int
  /// Output features of a linear layer; 0 for layers that keep the size of their input.
  public var outputs: Int

  public init(kind: LayerKind, inputs: Int = 0, outputs: Int = 0) {
    self.kind = kind
    self.inputs = inputs
    self.outputs = outputs
  }

  /// A linear layer with bias.
  public static func linear(_ inputs: Int, _ outputs: Int) -> LayerDescription {
    LayerDescription(kind: .linear, inputs: inputs, outputs: outputs)
  }

  /// A rectifier.
  public static var relu: LayerDescription { LayerDescription(kind: .relu) }

  /// The layer described.
  ///
  /// - Parameter position: the layer's place in the network, for the error.
  /// - Throws: `.badArchitecture` where a size is impossible.
  func makeLayer(at position: Int) throws(SFError) -> any Layer {
    switch kind {
    case .linear: try Linear(self, at: position)
    case .relu: try ReLU(self, at: position)
    }
  }
}
