// One class per call with many arguments: valid as made, every argument to be spoiled, and a word on
// whether the outputs were written. What must not live here: expectations.

import CSwiftForce

/// A test that spoils an argument of a valid call: what it does, what comes of it.
struct Spoiling<Call> {
  let what: String
  let status: sf_status
  var operand = SF_OPERAND_NONE
  var tensor: Int64 = -1
  let spoil: (Call) -> Void

  init(
    _ what: String, _ status: sf_status, _ operand: sf_operand = SF_OPERAND_NONE,
    tensor: Int64 = -1, _ spoil: @escaping (Call) -> Void
  ) {
    self.what = what
    self.status = status
    self.operand = operand
    self.tensor = tensor
    self.spoil = spoil
  }
}

/// What may be wrong with any list of two arrays, the second of which is not empty.
func spoiledLists<Call>(
  _ name: String, _ operand: sf_operand, elementSize: UInt, required: Bool,
  _ list: @escaping (Call) -> ArrayList
) -> [Spoiling<Call>] {
  var all: [Spoiling<Call>] = [
    Spoiling("\(name) misaligned", SF_MISALIGNED) { list($0).address += 4 },
    Spoiling("\(name)[1] null", SF_NULL_POINTER, operand, tensor: 1) { list($0).setData(1, 0) },
    Spoiling("\(name)[0] negative", SF_BAD_COUNT, operand, tensor: 0) { list($0).setCount(0, -1) },
    Spoiling("\(name)[1] least", SF_BAD_COUNT, operand, tensor: 1) { list($0).setCount(1, .min) },
    Spoiling("\(name)[1] huge", SF_BAD_COUNT, operand, tensor: 1) { list($0).setCount(1, .max) },
    Spoiling("\(name)[1] to the end of memory", SF_BAD_COUNT, operand, tensor: 1) {
      list($0).setData(1, UInt.max - 7)
      list($0).setCount(1, 1 << 20)
    },
    Spoiling("\(name)[1] of type 6", SF_UNSUPPORTED_TYPE, operand, tensor: 1) {
      list($0).setType(1, 6)
    },
    Spoiling("\(name)[0] of type -1", SF_UNSUPPORTED_TYPE, operand, tensor: 0) {
      list($0).setType(0, -1)
    },
    Spoiling("\(name)[1] of the other type", SF_UNSUPPORTED_TYPE, operand, tensor: 1) {
      list($0).setType(1, elementSize == 1 ? 0 : 4)
    },
    Spoiling("\(name)[1] shorter", SF_SIZE_MISMATCH, operand, tensor: 1) {
      list($0).setCount(1, 1)
    },
  ]
  if required {
    all.append(Spoiling("\(name) null", SF_NULL_POINTER) { list($0).address = 0 })
  }
  if elementSize > 1 {
    all.append(
      Spoiling("\(name)[1] misaligned", SF_MISALIGNED, operand, tensor: 1) {
        list($0).setData(1, list($0).data(1) + 1)
      })
  }
  return all
}

/// sf_select: scores 3 1 | 2 5 4 in two tensors, of which three are kept.
@safe final class SelectCall {
  let scores = Memory<Float>([3, 1, 2, 5, 4])
  let masks = Memory<UInt8>([7, 7, 7, 7, 7])
  let layerKept = Memory<Int64>([-1, -1])
  let report = Cell(sf_report())
  let scoreList: ArrayList
  let maskList: ArrayList
  var tensors: Int64 = 2
  var keep: Int64 = 3
  var layerKeptAddress: UInt

  init() {
    scoreList = ArrayList(scores.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    maskList = ArrayList(masks.address, sizes: [2, 3], type: SF_TYPE_MASK)
    layerKeptAddress = layerKept.address
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_select(
        scoreList.pointer, maskList.pointer, tensors, keep, report.pointer,
        UnsafeMutablePointer(bitPattern: layerKeptAddress), error.pointer)
    }
  }

  var isUnwritten: Bool {
    scores.isUnwritten && masks.isUnwritten && layerKept.isUnwritten && report.isUnwritten
  }
}

/// sf_saliency: connection sensitivity of five weights in two tensors.
@safe final class SaliencyCall {
  let weights = Memory<Float>([1, -2, 3, -4, 5])
  let gradients = Memory<Float>([1, 1, -1, 2, 0])
  let scores = Memory<Float>([-9, -9, -9, -9, -9])
  let weightList: ArrayList
  let gradientList: ArrayList
  let scoreList: ArrayList
  var saliency = number("connection_sensitivity", SF_AXIS_SALIENCY)
  var tensors: Int64 = 2

  init() {
    weightList = ArrayList(weights.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    gradientList = ArrayList(gradients.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    scoreList = ArrayList(scores.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_saliency(
        saliency, weightList.pointer, gradientList.pointer, scoreList.pointer, tensors, 5,
        error.pointer)
    }
  }

  var isUnwritten: Bool { weights.isUnwritten && gradients.isUnwritten && scores.isUnwritten }
}

/// sf_search_create: FORCE over tensors of two and three weights, two steps, one kept.
@safe final class SearchCreateCall {
  let sizes = Memory<Int64>([2, 3])
  let keeps = Memory<Int64>([3, 1])
  let search = Cell<Int64>(-1)
  let options: Cell<sf_search_options>
  var sizesAddress: UInt
  var tensors: Int64 = 2

  init() {
    unsafe options = Cell(
      sf_search_options(
        method: number("force", SF_AXIS_METHOD), schedule: number("linear", SF_AXIS_SCHEDULE),
        keep: 1, steps: 2, keeps: nil, seed: 0, total: 0, taken: 0))
    sizesAddress = sizes.address
  }

  func useKeeps(_ address: UInt? = nil) {
    unsafe options.value.keeps = UnsafePointer(bitPattern: address ?? keeps.address)
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_search_create(
        UnsafePointer(options.pointer), UnsafePointer(bitPattern: sizesAddress), tensors,
        search.pointer, error.pointer)
    }
  }

  var isUnwritten: Bool { search.isUnwritten && sizes.isUnwritten && keeps.isUnwritten }

  /// The handle of a new search.
  static func handle() -> Int64 {
    let call = SearchCreateCall()
    _ = call.make(.null)
    return call.search.value
  }
}

/// sf_search_step: the first step of such a search.
@safe final class SearchStepCall {
  var search = SearchCreateCall.handle()
  let weights = Memory<Float>([1, 2, 3, 4, 5])
  let gradients = Memory<Float>([5, 4, 3, 2, 1])
  /// A step starts from what `masks` holds: it is moved here first.
  let previous = Memory<UInt8>([7, 7, 7, 7, 7])
  let masks = Memory<UInt8>([7, 7, 7, 7, 7])
  let masked = Memory<Float>([-9, -9, -9, -9, -9])
  let layerKept = Memory<Int64>([-1, -1])
  let report = Cell(sf_report())
  let weightList: ArrayList
  let gradientList: ArrayList
  let previousList: ArrayList
  let maskList: ArrayList
  let maskedList: ArrayList
  var tensors: Int64 = 2
  var layerKeptAddress: UInt
  var arraysOffset: UInt = 0
  var passesArrays = true

  init() {
    weightList = ArrayList(weights.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    gradientList = ArrayList(gradients.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    previousList = ArrayList(previous.address, sizes: [2, 3], type: SF_TYPE_MASK)
    maskList = ArrayList(masks.address, sizes: [2, 3], type: SF_TYPE_MASK)
    maskedList = ArrayList(masked.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    layerKeptAddress = layerKept.address
  }

  func make(_ error: Slot) -> Int32 {
    unsafe make(error, with: { unsafe sf_search_step($0, $1, $2, $3, $4) })
  }

  /// The step with other ranks.
  @unsafe func make(_ error: Slot, ranks: UnsafePointer<sf_ranks>?) -> Int32 {
    unsafe make(error, with: { unsafe sf_search_step_shared($0, $1, ranks, $2, $3, $4) })
  }

  private func make(
    _ error: Slot,
    with step: (
      Int64, UnsafePointer<sf_step_arrays>?, UnsafeMutablePointer<sf_report>?,
      UnsafeMutablePointer<Int64>?, UnsafeMutablePointer<sf_error>?
    ) -> Int32
  ) -> Int32 {
    previous.values = masks.values
    let arrays = unsafe Cell(
      sf_step_arrays(
        weights: weightList.pointer, gradients: gradientList.pointer,
        previous: previousList.pointer, masks: maskList.pointer, masked: maskedList.pointer,
        tensors: tensors))
    unsafe arrays.address = passesArrays ? arrays.address + arraysOffset : 0
    return unsafe withExtendedLifetime((self, arrays)) {
      unsafe step(
        search, UnsafePointer(arrays.pointer), report.pointer,
        UnsafeMutablePointer(bitPattern: layerKeptAddress), error.pointer)
    }
  }

  var isUnwritten: Bool {
    weights.isUnwritten && gradients.isUnwritten && masks.isUnwritten && masked.isUnwritten
      && layerKept.isUnwritten && report.isUnwritten
  }

  /// How many steps the search has taken.
  var taken: Int64 {
    let (taken, steps) = (Cell<Int64>(-1), Cell<Int64>(-1))
    _ = unsafe sf_search_state(search, taken.pointer, steps.pointer, nil, nil)
    return withExtendedLifetime(steps) { taken.value }
  }

  deinit { _ = sf_search_release(search, nil) }
}

/// A network 2 -> 3 -> 2 and what its calls take: four samples, of which three rows are used.
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
  }

  deinit { _ = sf_network_release(network, nil) }

  /// Where no source is named, a layer reads the one before.
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

  /// The handle of a new network, 2 -> 3 -> 2 unless others are asked for.
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
      unsafe sf_network_apply(network, maskList.pointer, tensors, error.pointer)
    }
  }

  func takeGradients(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_network_gradients(
        network, weightList.pointer, gradientList.pointer, tensors,
        UnsafePointer(batch.pointer), running, result.pointer, error.pointer)
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

/// What a stand-in for the other ranks is to do, and how often it was asked.
struct Exchange: BitwiseCopyable {
  var calls: Int64 = 0
  /// The call that fails; 0: none.
  var failing: Int64 = 0
  /// The call at which another rank says that it failed; 0: none.
  var alarming: Int64 = 0
  /// The first number that was handed in last: whether this rank was in trouble.
  var trouble: Int64 = -1
}

/// sf_search_step_shared: the same step, with ranks that hold nothing.
@safe final class SharedStepCall {
  let step = SearchStepCall()
  let exchange = Cell(Exchange())
  let starts = Memory<Int64>([0, 2])
  let ranks: Cell<sf_ranks>

  init() {
    unsafe ranks = Cell(
      sf_ranks(
        sum: { context, values, count in
          guard let exchange = unsafe context?.assumingMemoryBound(to: Exchange.self),
            let values = unsafe values, count > 0
          else { return -1 }
          unsafe exchange.pointee.calls += 1
          unsafe exchange.pointee.trouble = values[0]
          if unsafe exchange.pointee.calls == exchange.pointee.failing { return 7 }
          if unsafe exchange.pointee.calls == exchange.pointee.alarming {
            unsafe values[0] += 1
          }
          return 0
        }, context: UnsafeMutableRawPointer(exchange.pointer), starts: UnsafePointer(starts.base)))
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe step.make(error, ranks: UnsafePointer(ranks.pointer))
    }
  }
}
