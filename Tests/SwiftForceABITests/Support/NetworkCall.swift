// Valid calls of a network, whose arguments a test may change, and whether their outputs were
// written. What must not live here: expected results.

import CSwiftForce

/// A network 2 -> 3 -> 2 and the arguments of its calls: four samples, of which three are used.
@safe final class NetworkCall {
  var network: Int64
  let inputs = Memory<Float>([1, 2, -1, 0.5, 3, -2, 0.25, 1])
  let labels = Memory<Int64>([0, 1, 1, 0])
  let rows = Memory<Int64>([3, 0, 2])
  let weights = Memory<Float>((0..<12).map { Float($0) / 8 - 0.5 })
  let gradients = Memory<Float>([Float](repeating: -9, count: 12))
  let masks = Memory<UInt8>([1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
  let logits = Memory<Float>([Float](repeating: -9, count: 6))
  let result = Cell(sf_batch_result(loss: -9, correct: -9))
  let sgd = Cell(sf_sgd(learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-4))
  let batch: Cell<sf_batch>
  let weightList: ArrayList
  let gradientList: ArrayList
  let maskList: ArrayList
  let logitList: ArrayList
  var tensors: Int64 = 2
  /// 1: gradients are normalised by the running statistics.
  var running: Int32 = 0
  /// What gradients are taken of.
  var loss: Int32 = 0
  var temperature = 1.0

  init(_ network: Int64 = NetworkCall.handle()) {
    self.network = network
    weightList = ArrayList(weights.address, sizes: [6, 6], type: SF_TYPE_FLOAT32)
    gradientList = ArrayList(gradients.address, sizes: [6, 6], type: SF_TYPE_FLOAT32)
    maskList = ArrayList(masks.address, sizes: [6, 6], type: SF_TYPE_MASK)
    logitList = ArrayList(logits.address, sizes: [6], type: SF_TYPE_FLOAT32)
    unsafe batch = Cell(
      sf_batch(
        inputs: inputs.base, labels: labels.base, rows: rows.base, samples: 4, features: 2,
        count: 3, together: 0))
    // Tests read all parameters.
    var number: Int64 = 0
    var parameter = unsafe sf_parameter()
    while unsafe sf_network_hold(network, number, &parameter, nil) == 0 { number += 1 }
  }

  deinit { _ = sf_network_release(network, nil) }

  /// A layer without a source reads the one before it.
  static func layers(_ layers: [sf_layer]) -> Memory<LayerBox> {
    let boxes = layers.enumerated().map { position, layer in
      var box = LayerBox(layer: layer)
      if layer.source == SF_NO_LAYER { box.layer.source = Int32(position) - 1 }
      return box
    }
    return Memory(boxes, guardedBy: LayerBox(layer: sf_layer()))
  }

  static func create(
    _ layers: Memory<LayerBox>, count: Int64? = nil, inputShape: [Int64] = [],
    _ network: Cell<Int64>, _ error: Slot
  ) -> Int32 {
    let shape = Memory<Int64>(inputShape)
    return withExtendedLifetime((layers, shape, network)) {
      unsafe sf_network_create(
        UnsafePointer(bitPattern: layers.address), count ?? Int64(layers.original.count),
        inputShape.isEmpty ? nil : shape.base, Int64(inputShape.count), 7, network.pointer,
        error.pointer)
    }
  }

  /// The handle of a new network, by default 2 -> 3 -> 2.
  static func handle(
    _ layers: [sf_layer] = [sf_layer(linear: 2, 3), sf_layer(relu: ()), sf_layer(linear: 3, 2)],
    inputShape: [Int64] = []
  ) -> Int64 {
    let network = Cell<Int64>(-1)
    _ = create(self.layers(layers), inputShape: inputShape, network, .null)
    return network.value
  }

  func apply(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_network_apply(network, maskList.pointer, tensors, 1, error.pointer)
    }
  }

  func takeGradients(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_network_gradients(
        network, weightList.pointer, gradientList.pointer, tensors,
        UnsafePointer(batch.pointer), running, 1, loss, temperature,
        result.pointer, error.pointer)
    }
  }

  func train(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_network_train(
        network, UnsafePointer(batch.pointer), UnsafePointer(sgd.pointer), result.pointer,
        error.pointer)
    }
  }

  func evaluate(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_network_evaluate(
        network, UnsafePointer(batch.pointer), result.pointer, error.pointer)
    }
  }

  func forward(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_network_forward(
        network, UnsafePointer(batch.pointer), logitList.pointer, error.pointer)
    }
  }

  /// The network's parameter tensors: address and number of elements.
  var parameters: [(address: UInt, count: Int)] {
    let list = unsafe Cell<(sf_parameter, sf_parameter, sf_parameter, sf_parameter)>(
      (sf_parameter(), sf_parameter(), sf_parameter(), sf_parameter()))
    let count = Cell<Int64>(-1)
    return unsafe withExtendedLifetime((list, count)) {
      unsafe UnsafeMutablePointer<sf_parameter>(bitPattern: list.address).map { first in
        guard unsafe sf_network_parameters(network, first, 4, count.pointer, nil) == 0 else {
          return []
        }
        return (0..<4).map { i in
          let parameter = unsafe first[i]
          let columns = unsafe parameter.rank == 2 ? parameter.shape.1 : 1
          return (
            UInt(bitPattern: unsafe parameter.data), Int(unsafe parameter.shape.0 * columns)
          )
        }
      } ?? []
    }
  }

  /// The bits of all parameters.
  var parameterBits: [UInt32] {
    parameters.flatMap { address, count in
      (0..<count).map { i in
        unsafe UnsafePointer<UInt32>(bitPattern: address).map { p in unsafe p[i] } ?? 0
      }
    }
  }

  var isUnwritten: Bool {
    inputs.isUnwritten && labels.isUnwritten && rows.isUnwritten && weights.isUnwritten
      && gradients.isUnwritten && masks.isUnwritten && logits.isUnwritten && result.isUnwritten
      && sgd.isUnwritten
  }
}

/// A layer that can be compared.
struct LayerBox: BitwiseCopyable, Equatable {
  var layer: sf_layer

  static func == (lhs: LayerBox, rhs: LayerBox) -> Bool {
    func fields(_ layer: sf_layer) -> [Int64] {
      [layer.kind, layer.source, layer.addend, layer.has_bias].map(Int64.init)
        + [layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding, layer.groups]
        + [layer.momentum, layer.epsilon].map { Int64(bitPattern: $0.bitPattern) }
    }
    return fields(lhs.layer) == fields(rhs.layer)
  }
}

extension sf_layer {
  /// A layer without sizes that names no layer to read.
  init(kind: String) {
    self.init()
    self.kind = number(kind, SF_AXIS_LAYER)
    (source, addend) = (SF_NO_LAYER, SF_NO_LAYER)
  }

  init(linear inputs: Int64, _ outputs: Int64) {
    self.init(kind: "linear")
    (self.inputs, self.outputs, has_bias) = (inputs, outputs, 1)
  }

  init(relu: Void) { self.init(kind: "relu") }
}

/// A network of 2 x 6 x 5 images with a layer of every kind.
func imageLayers() -> [sf_layer] {
  var convolution = sf_layer(kind: "conv2d")
  (convolution.inputs, convolution.outputs, convolution.has_bias) = (2, 3, 1)
  (convolution.kernel, convolution.stride) = (3, 1)
  (convolution.padding, convolution.groups) = (1, 1)
  var normalization = sf_layer(kind: "batch_norm2d")
  (normalization.inputs, normalization.momentum, normalization.epsilon) = (3, 0.1, 1e-5)
  var sum = sf_layer(kind: "add")
  sum.addend = 0
  var largest = sf_layer(kind: "max_pool2d")
  (largest.kernel, largest.stride) = (2, 2)
  var mean = sf_layer(kind: "avg_pool2d")
  (mean.kernel, mean.stride) = (2, 1)
  return [
    convolution, normalization, sf_layer(relu: ()), sum, largest, mean,
    sf_layer(kind: "global_avg_pool2d"), sf_layer(kind: "flatten"), sf_layer(linear: 3, 2),
  ]
}
