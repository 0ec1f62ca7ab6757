// The layers of a network and the sizes between them, checked once: whatever holds an Architecture
// need not check a size again. What must not live here: memory, or anything that computes.

import SwiftForceCore

/// Layers that fit together.
struct Architecture: Sendable {
  /// More parameters, or more activations of one micro-batch, are taken for a mistake. The bound
  /// keeps every size in bytes far from overflow.
  static let elementLimit = 1 << 40

  let layers: [any Layer]
  /// What goes into each layer, and at the end what comes out of the last.
  let shapes: [Shape]
  /// The lowest layer that has parameters: no gradient is needed below it.
  let firstTrainable: Int

  /// - Throws: `.badArchitecture` that names the first layer at fault.
  init(_ descriptions: [LayerDescription]) throws(SFError) {
    var layers: [any Layer] = []
    for (position, description) in descriptions.enumerated() {
      layers.append(try description.makeLayer(at: position))
    }
    guard let firstTrainable = layers.firstIndex(where: { !$0.parameters.isEmpty }),
      let input = layers.lazy.compactMap(\.inputShape).first
    else {
      throw .badArchitecture(layer: 0, reason: "a network needs at least one linear layer")
    }
    self.layers = layers
    self.firstTrainable = firstTrainable
    shapes = try Architecture.chain(layers, from: input)
    try Architecture.checkCounts(layers, shapes: shapes)
  }

  var inputFeatures: Int { shapes[0].features }
  var outputFeatures: Int { shapes[layers.count].features }

  /// Where the parameters of a layer's list stand among all parameters, each with its layer.
  var parameters: [(layer: Int, description: ParameterDescription)] {
    layers.indices.flatMap { position in
      layers[position].parameters.map { (position, $0) }
    }
  }

  private static func chain(
    _ layers: [any Layer], from input: Shape
  ) throws(SFError) -> [Shape] {
    var shapes = [input]
    for (position, layer) in layers.enumerated() {
      let shape = shapes[position]
      if let taken = layer.inputShape, taken.features != shape.features {
        let reason = "takes \(taken.features) features where \(shape.features) come in"
        throw .badArchitecture(layer: position, reason: reason)
      }
      shapes.append(layer.outputShape(for: shape))
    }
    return shapes
  }

  /// Names the layer that takes the count of parameters or of activations past the limit.
  private static func checkCounts(
    _ layers: [any Layer], shapes: [Shape]
  ) throws(SFError) {
    var parameters = 0
    var activations = shapes[0].features * Activations<Float>.capacity
    for (position, layer) in layers.enumerated() {
      // Each side is below 2^31 and each sum below 2^41 when it is checked: no sum overflows.
      for parameter in layer.parameters { parameters += parameter.shape.reduce(1, *) }
      activations += shapes[position + 1].features * Activations<Float>.capacity
      guard parameters <= elementLimit, activations <= elementLimit else {
        let reason = "more than \(elementLimit) parameters or activations so far"
        throw .badArchitecture(layer: position, reason: reason)
      }
    }
  }
}
