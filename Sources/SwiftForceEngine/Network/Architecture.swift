// The layers of a network, what each reads, and the sizes between them, checked once. Code that has
// an Architecture need not check sizes again. What must not live here: memory, or any computation.

import SwiftForceCore

/// Layers that fit together.
///
/// Layers pass on *values*: value 0 is the network's input, value i + 1 the output of layer i.
struct Architecture: Sendable {
  /// The largest number of parameters, and of activations of a micro-batch. More is taken for a
  /// mistake. The bound keeps every size in bytes far from overflow.
  static let elementLimit = 1 << 40

  /// How many samples are computed together if they do not depend on each other.
  static let microBatch = 256

  let layers: [any Layer]
  /// The values that each layer reads: one, or two.
  let sources: [[Int]]
  /// The layers that read each value, in order. A layer that reads a value twice is listed twice.
  let readers: [[Int]]
  /// The shape of each value.
  let shapes: [Shape]
  /// Whether the loss's gradient at each value is needed: whether a layer below it has parameters.
  let needsGradient: [Bool]
  /// The layers that normalise by the batch, which makes its samples depend on each other.
  let normalizingLayers: [Int]

  /// - Parameter inputShape: (features) or (channels, height, width); nil: the inputs of the first
  ///   linear layer, if only rectifiers come before it.
  /// - Throws: `.badArchitecture` with the first invalid layer.
  init(_ descriptions: [LayerDescription], inputShape: [Int]?) throws(SFError) {
    var layers: [any Layer] = []
    var sources: [[Int]] = []
    var shapes = [try Architecture.inputShape(inputShape, of: descriptions)]
    if Architecture.readsFeatures(descriptions) {
      shapes[0] = Shape(dimensions: [shapes[0].features])
    }
    var needsGradient = [false]
    for (position, description) in descriptions.enumerated() {
      let read = try Architecture.values(readBy: description, at: position)
      do throws(LayerFault) {
        layers.append(try description.makeLayer(read.map { shapes[$0] }))
      } catch {
        throw .badArchitecture(layer: position, reason: error.reason)
      }
      sources.append(read)
      shapes.append(layers[position].outputShape)
      needsGradient.append(
        !layers[position].parameters.isEmpty || read.contains { needsGradient[$0] })
    }
    guard needsGradient[layers.count] else {
      throw .badArchitecture(
        layer: 0, reason: "a network needs at least one layer with parameters below its output")
    }
    self.sources = sources
    self.shapes = shapes
    self.needsGradient = needsGradient
    var readers = [[Int]](repeating: [], count: shapes.count)
    for (layer, read) in sources.enumerated() { for value in read { readers[value].append(layer) } }
    self.readers = readers
    Architecture.fuseRectifiers(in: &layers, sources, readers)
    self.layers = layers
    normalizingLayers = layers.indices.filter { descriptions[$0].kind == .batchNorm2d }
    try checkReaders()
    try checkCounts()
    try checkOutput()
  }

  /// Lets a batch normalisation compute the rectifier that alone reads it: nobody then needs what
  /// is not rectified, and both share memory.
  private static func fuseRectifiers(
    in layers: inout [any Layer], _ sources: [[Int]], _ readers: [[Int]]
  ) {
    for (layer, read) in sources.enumerated() where read[0] > 0 && readers[read[0]] == [layer] {
      guard var rectifier = layers[layer] as? ReLU,
        var normalization = layers[read[0] - 1] as? BatchNorm2d
      else { continue }
      (normalization.rectifies, rectifier.isFused) = (true, true)
      (layers[read[0] - 1], layers[layer]) = (normalization, rectifier)
    }
  }

  var inputFeatures: Int { shapes[0].features }
  var outputFeatures: Int { shapes[layers.count].features }

  /// All parameters in order, each with the position of its layer.
  var parameters: [(layer: Int, description: ParameterDescription)] {
    layers.indices.flatMap { position in
      layers[position].parameters.map { (position, $0) }
    }
  }

  private static func inputShape(
    _ given: [Int]?, of descriptions: [LayerDescription]
  ) throws(SFError) -> Shape {
    if let given {
      guard given.count == 1 || given.count == 3, given.allSatisfy(validSizes.contains) else {
        throw .badArchitecture(
          layer: 0,
          reason: "an input shape must be (features) or (channels, height, width), not \(given)")
      }
      var features = 1
      for size in given {
        let (product, overflow) = features.multipliedReportingOverflow(by: size)
        guard !overflow, product <= elementLimit else {
          throw .badArchitecture(layer: 0, reason: "the input shape \(given) is too large")
        }
        features = product
      }
      return Shape(dimensions: given)
    }
    for (position, description) in descriptions.enumerated() where description.kind != .relu {
      guard description.kind == .linear else {
        throw .badArchitecture(
          layer: position,
          reason: "\(description.kind.name) as the first layer with a size needs an input shape")
      }
      guard validSizes.contains(description.inputs) else {
        throw .badArchitecture(
          layer: position,
          reason: "inputs must be in 1 ... \(validSizes.upperBound), not \(description.inputs)")
      }
      return Shape(dimensions: [description.inputs])
    }
    throw .badArchitecture(layer: 0, reason: "a network needs at least one linear layer")
  }

  /// Whether the input is read as features alone, so that its image need not be kept.
  private static func readsFeatures(_ descriptions: [LayerDescription]) -> Bool {
    descriptions.enumerated().allSatisfy { position, description in
      let readsInput = (description.source ?? position - 1) == -1 || description.addend == -1
      return !readsInput || description.kind == .flatten || description.kind == .linear
    }
  }

  /// BLAS takes its sizes as 32-bit integers.
  static let validSizes = 1...Int(Int32.max)

  private static func values(
    readBy description: LayerDescription, at position: Int
  ) throws(SFError) -> [Int] {
    var read = [description.source ?? position - 1]
    if description.kind == .add {
      guard let addend = description.addend else {
        throw .badArchitecture(layer: position, reason: "add needs a second layer to read")
      }
      read.append(addend)
    } else if description.addend != nil {
      throw .badArchitecture(layer: position, reason: "only add reads a second layer")
    }
    for layer in read where layer < -1 || layer >= position {
      throw .badArchitecture(
        layer: position, reason: "reads layer \(layer), which does not come before it")
    }
    return read.map { $0 + 1 }
  }

  private func checkReaders() throws(SFError) {
    for layer in layers.indices.dropLast() where readers[layer + 1].isEmpty {
      throw .badArchitecture(layer: layer, reason: "no layer reads its output")
    }
  }

  /// Refuses an output with more than one position: a pooling layer is missing.
  private func checkOutput() throws(SFError) {
    guard let image = shapes[layers.count].image, image.height * image.width > 1 else { return }
    throw .badArchitecture(
      layer: layers.count - 1,
      reason: "the network ends in images of \(image.height) x \(image.width), not in features: "
        + "add a \(LayerKind.globalAvgPool2d.name) or a \(LayerKind.flatten.name) layer")
  }

  /// Refuses batches that give a channel only one number, which has no variance to normalise by.
  ///
  /// - Throws: `.badArchitecture` with the first such layer.
  func checkNormalization(samples: Int) throws(SFError) {
    for layer in normalizingLayers {
      guard let image = shapes[layer + 1].image, image.height * image.width * samples < 2 else {
        continue
      }
      throw .badArchitecture(
        layer: layer,
        reason: "a batch of one sample with 1 x 1 images cannot be normalised: use more samples")
    }
  }

  /// Refuses the first layer with which the parameters or the activations exceed the limit.
  private func checkCounts() throws(SFError) {
    var parameters = 0
    var activations = shapes[0].features
    for (position, layer) in layers.enumerated() {
      // No sum overflows: each side is below 2^31, each image below 2^40, and each sum is checked.
      for parameter in layer.parameters { parameters += parameter.shape.reduce(1, *) }
      activations += shapes[position + 1].features
      guard
        parameters <= Architecture.elementLimit,
        activations <= Architecture.elementLimit / Architecture.microBatch
      else {
        let reason =
          "the network has more than \(Architecture.elementLimit) parameters or activations"
        throw .badArchitecture(layer: position, reason: reason)
      }
    }
  }
}
