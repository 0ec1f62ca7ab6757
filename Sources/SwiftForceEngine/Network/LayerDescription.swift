// The description of a network from which it is created: a list of layers, each with its kind, its
// sizes, and what it reads. What must not live here: what a layer computes (Layers/), and the
// checks that layers fit together (Architecture).

import SwiftForceCore

/// The kinds of layer. Callers number them in this order, and their names are derived from the
/// cases. A new kind is one case, one line in `makeLayer`, and one file in Layers/.
public enum LayerKind: Named {
  /// y = W x + b.
  case linear
  /// y = max(x, 0).
  case relu
  /// A two-dimensional convolution, across all channels or depthwise.
  case conv2d
  /// Batch normalisation of each channel.
  case batchNorm2d
  /// The largest number of each window.
  case maxPool2d
  /// The mean of each window.
  case avgPool2d
  /// The mean of each channel.
  case globalAvgPool2d
  /// Turns an image into features.
  case flatten
  /// The sum of two layers' outputs.
  case add
}

/// One layer of a network to be created. Fields that its kind does not use must have their
/// defaults.
public struct LayerDescription: Sendable, Equatable {
  public var kind: LayerKind
  /// Input features of a linear layer, input channels of a convolution, channels of a batch
  /// normalisation.
  public var inputs: Int = 0
  /// Output features of a linear layer, output channels of a convolution.
  public var outputs: Int = 0
  /// Whether a linear layer or a convolution adds a bias.
  public var hasBias = false
  /// Side of a convolution's kernel, or of a pool's window.
  public var kernel: Int = 0
  /// Distance between two positions of kernel or window.
  public var stride: Int = 0
  /// Zeros around the image of a convolution, on each side.
  public var padding: Int = 0
  /// 1, or the number of channels for a depthwise convolution.
  public var groups: Int = 0
  /// The fraction of a running statistic that each batch replaces, in 0 ... 1.
  public var momentum: Double = 0
  /// Added to the variance; above 0.
  public var epsilon: Double = 0
  /// The position of the layer whose output is read; -1: the network's input; nil: the layer
  /// before.
  public var source: Int?
  /// The position of the second layer that `add` reads; -1: the network's input.
  public var addend: Int?

  public init(kind: LayerKind) { self.kind = kind }

  /// A linear layer.
  public static func linear(_ inputs: Int, _ outputs: Int, bias: Bool = true) -> LayerDescription {
    var layer = LayerDescription(kind: .linear)
    (layer.inputs, layer.outputs, layer.hasBias) = (inputs, outputs, bias)
    return layer
  }

  /// A rectifier.
  public static var relu: LayerDescription { LayerDescription(kind: .relu) }

  /// A convolution with a square kernel.
  public static func conv2d(
    _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int = 1, padding: Int = 0, groups: Int = 1,
    bias: Bool = true
  ) -> LayerDescription {
    var layer = LayerDescription(kind: .conv2d)
    (layer.inputs, layer.outputs, layer.hasBias) = (inputs, outputs, bias)
    (layer.kernel, layer.stride, layer.padding) = (kernel, stride, padding)
    layer.groups = groups
    return layer
  }

  /// Batch normalisation, with torch's defaults for momentum and epsilon.
  public static func batchNorm2d(
    _ channels: Int, momentum: Double = 0.1, epsilon: Double = 1e-5
  ) -> LayerDescription {
    var layer = LayerDescription(kind: .batchNorm2d)
    (layer.inputs, layer.momentum, layer.epsilon) = (channels, momentum, epsilon)
    return layer
  }

  /// The largest number of each window.
  public static func maxPool2d(_ kernel: Int, stride: Int? = nil) -> LayerDescription {
    pool(.maxPool2d, kernel, stride)
  }

  /// The mean of each window.
  public static func avgPool2d(_ kernel: Int, stride: Int? = nil) -> LayerDescription {
    pool(.avgPool2d, kernel, stride)
  }

  /// The mean of each channel.
  public static var globalAvgPool2d: LayerDescription { LayerDescription(kind: .globalAvgPool2d) }

  /// Turns an image into features.
  public static var flatten: LayerDescription { LayerDescription(kind: .flatten) }

  /// The sum of this layer's source and the output of the layer at `addend`.
  public static func add(_ addend: Int) -> LayerDescription {
    var layer = LayerDescription(kind: .add)
    layer.addend = addend
    return layer
  }

  /// A copy that reads the output of the layer at `source`; -1: the network's input.
  public func reading(_ source: Int) -> LayerDescription {
    var layer = self
    layer.source = source
    return layer
  }

  private static func pool(_ kind: LayerKind, _ kernel: Int, _ stride: Int?) -> LayerDescription {
    var layer = LayerDescription(kind: kind)
    (layer.kernel, layer.stride) = (kernel, stride ?? kernel)
    return layer
  }

  /// Creates the layer for inputs of these shapes: one, or two for `add`.
  ///
  /// - Throws: why it is impossible.
  func makeLayer(_ shapes: [Shape]) throws(LayerFault) -> any Layer {
    switch kind {
    case .linear: try Linear(self, shapes[0])
    case .relu: try ReLU(self, shapes[0])
    case .conv2d: try Conv2d(self, shapes[0])
    case .batchNorm2d: try BatchNorm2d(self, shapes[0])
    case .maxPool2d: try MaxPool2d(self, shapes[0])
    case .avgPool2d: try AvgPool2d(self, shapes[0])
    case .globalAvgPool2d: try GlobalAvgPool2d(self, shapes[0])
    case .flatten: try Flatten(self, shapes[0])
    case .add: try Add(self, shapes)
    }
  }

  /// Refuses fields that this kind does not use.
  ///
  /// - Parameter used: the fields that it uses. The layer itself checks their values.
  func allowOnly(_ used: PartialKeyPath<LayerDescription>...) throws(LayerFault) {
    let plain = LayerDescription(kind: kind)
    let sizes: [(String, KeyPath<LayerDescription, Int>)] = [
      ("inputs", \.inputs), ("outputs", \.outputs), ("kernel", \.kernel), ("stride", \.stride),
      ("padding", \.padding), ("groups", \.groups),
    ]
    let numbers: [(String, KeyPath<LayerDescription, Double>)] = [
      ("momentum", \.momentum), ("epsilon", \.epsilon),
    ]
    let given =
      sizes.filter { self[keyPath: $1] != plain[keyPath: $1] }.map { ($0, $1 as PartialKeyPath) }
      + numbers.filter { self[keyPath: $1] != plain[keyPath: $1] }.map { ($0, $1) }
      + (hasBias ? [("bias", \.hasBias)] : [])
    for (name, path) in given where !used.contains(path) {
      throw LayerFault("\(kind.name) takes no \(name)")
    }
  }
}
