// The calls of a network: what they do, and every argument that they refuse.

import CSwiftForce
import Testing

@Suite struct NetworkCreateFunctionTests {
  private func said(
    _ layers: [sf_layer], count: Int64? = nil, inputShape: [Int64] = []
  ) -> (said: Outcome, network: Cell<Int64>) {
    let network = Cell<Int64>(-1)
    let list = NetworkCall.layers(layers)
    let said = outcome {
      NetworkCall.create(list, count: count, inputShape: inputShape, network, $0)
    }
    if said.isOK { _ = sf_network_release(network.value, nil) }
    #expect(list.isUnwritten)
    return (said, network)
  }

  @Test func creates() {
    let (said, network) = said([sf_layer(linear: 5, 4), sf_layer(relu: ()), sf_layer(linear: 4, 3)])
    #expect(said.isOK)
    #expect(network.value > 0)
  }

  @Test func createsEveryKind() {
    let (said, network) = said(imageLayers(), inputShape: [2, 6, 5])
    #expect(said.isOK)
    #expect(network.value > 0)
    #expect(Set(imageLayers().map(\.kind)).count == names(SF_AXIS_LAYER).count)
  }

  @Test func layersThatDoNotFitAreNamed() {
    let huge = Int64(Int32.max)
    let relu = sf_layer(relu: ())
    var wide = relu
    wide.outputs = 4
    for (layers, fault) in [
      ([relu], 0), ([sf_layer(linear: 0, 3)], 0), ([sf_layer(linear: 3, 0)], 0),
      ([sf_layer(linear: -1, 3)], 0), ([sf_layer(linear: .min, .max)], 0),
      ([sf_layer(linear: 3, huge + 1)], 0), ([sf_layer(linear: 3, 4), sf_layer(linear: 5, 2)], 1),
      ([sf_layer(linear: 3, 4), wide], 1), ([sf_layer(linear: huge, huge)], 0),
    ] as [([sf_layer], Int64)] {
      let (said, network) = said(layers)
      #expect(said.status == SF_BAD_ARCHITECTURE, "\(layers)")
      #expect(said.index == fault, "\(layers)")
      #expect(network.isUnwritten)
    }
  }

  /// Every field of a layer at fault is read, and the layer is named.
  @Test func spoiledFieldsAreRefused() {
    let spoilings: [(String, Int, (inout sf_layer) -> Void)] = [
      ("kernel 0", 0, { $0.kernel = 0 }), ("kernel 7", 0, { $0.kernel = 9 }),
      ("stride -1", 0, { $0.stride = -1 }), ("padding 3", 0, { $0.padding = 3 }),
      ("groups 0", 0, { $0.groups = 0 }), ("inputs 3", 0, { $0.inputs = 3 }),
      ("outputs least", 0, { $0.outputs = .min }), ("kernel greatest", 0, { $0.kernel = .max }),
      ("momentum 2", 1, { $0.momentum = 2 }), ("epsilon 0", 1, { $0.epsilon = 0 }),
      ("no addend", 3, { $0.addend = SF_NO_LAYER }), ("itself", 3, { $0.addend = 3 }),
      ("source after", 2, { $0.source = 5 }), ("no source", 2, { $0.source = -3 }),
      ("addend of relu", 2, { $0.addend = 1 }), ("window 7", 4, { $0.kernel = 7 }),
      ("bias of relu", 2, { $0.has_bias = 1 }), ("epsilon of relu", 2, { $0.epsilon = 1 }),
    ]
    for (what, position, spoil) in spoilings {
      var layers = imageLayers()
      spoil(&layers[position])
      let (said, network) = said(layers, inputShape: [2, 6, 5])
      #expect(said.status == SF_BAD_ARCHITECTURE, "\(what)")
      #expect(said.index == position, "\(what)")
      #expect(network.isUnwritten)
    }
  }

  @Test func shapesThatAreNoneAreRefused() {
    let layers = [sf_layer(linear: 6, 2)]
    #expect(said(layers, inputShape: [6]).said.isOK)
    #expect(said(layers, inputShape: [1, 2, 3]).said.isOK)
    for shape in [[6, 1], [1, 1, 2, 3]] as [[Int64]] {
      let (said, network) = said(layers, inputShape: shape)
      #expect(said.status == SF_BAD_COUNT)
      #expect(network.isUnwritten)
    }
    for shape in [[0], [-6], [5], [.min], [.max], [1, 0, 6], [.max, .max, 2]] as [[Int64]] {
      let (said, network) = said(layers, inputShape: shape)
      #expect(said.status == SF_BAD_ARCHITECTURE, "\(shape)")
      #expect(said.index == 0)
      #expect(network.isUnwritten)
    }
  }

  @Test func badArguments() {
    for count in [0, -1, .min, .max] as [Int64] {
      let (said, network) = said([sf_layer(linear: 2, 2)], count: count)
      #expect(said.status == SF_BAD_COUNT)
      #expect(network.isUnwritten)
    }
    // A name that is not among the layers has the number -1.
    let (unknown, _) = said([sf_layer(linear: 2, 2), sf_layer(kind: "no such layer")])
    #expect(unknown.status == SF_UNKNOWN_NAME)
    #expect(unknown.index == 1)
    let network = Cell<Int64>(-1)
    let layers = NetworkCall.layers([sf_layer(linear: 2, 2)])
    let shape = Memory<Int64>([2])
    func create(_ address: UInt, shape place: UInt = 0, rank: Int64 = 0) -> sf_status {
      withExtendedLifetime((layers, network, shape)) {
        outcome {
          unsafe sf_network_create(
            UnsafePointer(bitPattern: address), 1, UnsafePointer(bitPattern: place), rank, 7,
            network.pointer, $0.pointer)
        }.status
      }
    }
    #expect(create(0) == SF_NULL_POINTER)
    #expect(create(layers.address + 4) == SF_MISALIGNED)
    #expect(create(layers.address, shape: shape.address + 4, rank: 1) == SF_MISALIGNED)
    for rank in [0, -1, 2, .min, .max] as [Int64] {
      #expect(create(layers.address, shape: shape.address, rank: rank) == SF_BAD_COUNT)
    }
    #expect(create(layers.address, rank: 1) == SF_NULL_POINTER)
    let address = network.address
    network.address += 4
    #expect(create(layers.address) == SF_MISALIGNED)
    network.address = 0
    #expect(create(layers.address) == SF_NULL_POINTER)
    #expect(network.isUnwritten)
    network.address = address
    #expect(create(layers.address, shape: shape.address, rank: 1) == SF_OK)
    #expect(sf_network_release(network.value, nil) == 0)
  }
}

/// A network of 2 x 6 x 5 images with a layer of every kind.
private func imageLayers() -> [sf_layer] {
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

@Suite struct NetworkSizesFunctionTests {
  @Test func sizesAreThoseOfASample() {
    let (features, classes) = (Cell<Int64>(-1), Cell<Int64>(-1))
    for (call, expected) in [
      (NetworkCall(), [2, 2] as [Int64]),
      (NetworkCall(NetworkCall.handle(imageLayers(), inputShape: [2, 6, 5])), [60, 2]),
    ] {
      #expect(call.network > 0)
      #expect(
        outcome {
          unsafe sf_network_sizes(
            call.network, features.pointer, classes.pointer, $0.pointer)
        }.isOK)
      #expect([features.value, classes.value] == expected)
    }
  }

  @Test func badArguments() {
    let (features, classes) = (Cell<Int64>(-1), Cell<Int64>(-1))
    let call = NetworkCall()
    func said() -> sf_status {
      withExtendedLifetime(call) {
        outcome {
          unsafe sf_network_sizes(call.network, features.pointer, classes.pointer, $0.pointer)
        }.status
      }
    }
    for cell in [features, classes] {
      let address = cell.address
      cell.address = 0
      #expect(said() == SF_NULL_POINTER)
      cell.address = address + 4
      #expect(said() == SF_MISALIGNED)
      cell.address = address
    }
    #expect(features.isUnwritten && classes.isUnwritten)
    #expect(said() == SF_OK)
  }
}

@Suite struct NetworkParametersFunctionTests {
  @Test func parametersAreTheLayers() {
    let call = NetworkCall()
    #expect(call.parameters.map(\.count) == [6, 3, 6, 2])
    #expect(call.parameters.allSatisfy { $0.address % 64 == 0 })
    #expect(Set(call.parameters.map(\.address)).count == 4)
    #expect(call.parameterBits.contains { $0 != 0 })
  }

  @Test func theRecordOfEachParameter() {
    let call = NetworkCall(NetworkCall.handle(imageLayers(), inputShape: [2, 6, 5]))
    let records = unsafe [sf_parameter](unsafeUninitializedCapacity: 8) { buffer, count in
      let number = Cell<Int64>(-1)
      #expect(
        outcome {
          unsafe sf_network_parameters(
            call.network, buffer.baseAddress, 8, number.pointer, $0.pointer)
        }.isOK)
      count = Int(number.value)
    }
    let names = names(SF_AXIS_ROLE)
    let shapes = unsafe records.map { record in
      let shape = unsafe record.shape
      let extents = [shape.0, shape.1, shape.2, shape.3]
      return unsafe "\(record.layer) \(names[Int(record.role)]) \(record.rank) \(extents)"
    }
    #expect(
      shapes == [
        "0 weight 4 [3, 2, 3, 3]", "0 bias 1 [3, 0, 0, 0]", "1 scale 1 [3, 0, 0, 0]",
        "1 bias 1 [3, 0, 0, 0]", "1 mean 1 [3, 0, 0, 0]", "1 variance 1 [3, 0, 0, 0]",
        "8 weight 2 [2, 3, 0, 0]", "8 bias 1 [2, 0, 0, 0]",
      ])
    let starts = unsafe records.map { unsafe $0.data?.pointee ?? -1 }
    #expect(starts[2...5] == [1, 0, 0, 1])
    withExtendedLifetime(call) {}
  }

  @Test func badArguments() {
    let call = NetworkCall()
    let count = Cell<Int64>(-1)
    let room = unsafe Memory<UInt64>(
      [UInt64](repeating: 5, count: 4 * MemoryLayout<sf_parameter>.stride / 8), guardedBy: 6)
    func said(_ offset: UInt, _ capacity: Int64) -> sf_status {
      withExtendedLifetime((call, count, room)) {
        outcome {
          unsafe sf_network_parameters(
            call.network, UnsafeMutablePointer(bitPattern: room.address + offset), capacity,
            count.pointer, $0.pointer)
        }.status
      }
    }
    for capacity in [3, 0, -1, .min] as [Int64] { #expect(said(0, capacity) == SF_BAD_COUNT) }
    #expect(said(4, 4) == SF_MISALIGNED)
    let address = count.address
    count.address = 0
    #expect(said(0, 4) == SF_NULL_POINTER)
    count.address = address + 4
    #expect(said(0, 4) == SF_MISALIGNED)
    #expect(room.isUnwritten && count.isUnwritten)
    count.address = address
    #expect(said(0, 4) == SF_OK)
    #expect(count.value == 4)
    #expect(room.isIntact && !room.isUnwritten)
  }

  @Test func theNumberAloneMayBeAskedFor() {
    let call = NetworkCall()
    let count = Cell<Int64>(-1)
    #expect(
      outcome {
        unsafe sf_network_parameters(call.network, nil, -3, count.pointer, $0.pointer)
      }.isOK)
    #expect(count.value == 4)
    withExtendedLifetime(call) {}
  }
}

@Suite struct NetworkMaskFunctionTests {
  @Test func removedWeightsBecomeZero() {
    let call = NetworkCall()
    let before = call.parameterBits
    #expect(outcome { call.apply($0) }.isOK)
    let now = call.parameterBits
    #expect((0..<6).allSatisfy { now[$0] == ($0 % 2 == 0 ? before[$0] : 0) })
    #expect(now[6..<9] == before[6..<9])
    // Lifting the masks leaves the zeros.
    call.maskList.address = 0
    #expect(outcome { call.apply($0) }.isOK)
    #expect(call.parameterBits == now)
    #expect(call.isUnwritten)
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var spoilings: [Spoiling<NetworkCall>] = [
      Spoiling("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      Spoiling("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      Spoiling("one tensor", SF_SIZE_MISMATCH, SF_OPERAND_MASKS) { $0.tensors = 1 },
    ]
    spoilings += spoiledLists("masks", SF_OPERAND_MASKS, elementSize: 1, required: false) {
      $0.maskList
    }
    check(spoilings) { $0.apply }
  }
}

/// Makes every spoiled call and expects that it is refused and writes nothing.
private func check(
  _ spoilings: [Spoiling<NetworkCall>], _ body: (NetworkCall) -> (Slot) -> Int32
) {
  for spoiling in spoilings {
    let call = NetworkCall()
    let before = call.parameterBits
    spoiling.spoil(call)
    let inputs = (call.inputs.values, call.labels.values, call.rows.values)
    let said = outcome { body(call)($0) }
    #expect(said.status == spoiling.status, "\(spoiling.what)")
    #expect(said.operand == spoiling.operand, "\(spoiling.what)")
    #expect(said.tensor == spoiling.tensor, "\(spoiling.what)")
    #expect(call.gradients.isUnwritten && call.logits.isUnwritten, "\(spoiling.what)")
    #expect(call.result.isUnwritten && call.weights.isUnwritten, "\(spoiling.what)")
    #expect(call.parameterBits == before, "\(spoiling.what)")
    #expect(inputs == (call.inputs.values, call.labels.values, call.rows.values))
  }
}

/// What may be wrong with the samples of a call.
private func spoiledBatches(needsLabels: Bool) -> [Spoiling<NetworkCall>] {
  let labels: [Spoiling<NetworkCall>] = [
    Spoiling("labels null", SF_NULL_POINTER) { unsafe $0.batch.value.labels = nil },
    Spoiling("label 2", SF_BAD_LABEL, SF_OPERAND_LABELS) { $0.labels.values[0] = 2 },
    Spoiling("label -1", SF_BAD_LABEL, SF_OPERAND_LABELS) { $0.labels.values[3] = -1 },
    Spoiling("label greatest", SF_BAD_LABEL, SF_OPERAND_LABELS) { $0.labels.values[2] = .max },
  ]
  let others: [Spoiling<NetworkCall>] = [
    Spoiling("batch null", SF_NULL_POINTER) { unsafe $0.batch.address = 0 },
    Spoiling("batch misaligned", SF_MISALIGNED) { unsafe $0.batch.address += 4 },
    Spoiling("inputs null", SF_NULL_POINTER) { unsafe $0.batch.value.inputs = nil },
    Spoiling("inputs misaligned", SF_MISALIGNED) {
      unsafe $0.batch.value.inputs = UnsafePointer(bitPattern: $0.inputs.address + 1)
    },
    Spoiling("labels misaligned", SF_MISALIGNED) {
      unsafe $0.batch.value.labels = UnsafePointer(bitPattern: $0.labels.address + 4)
    },
    Spoiling("rows misaligned", SF_MISALIGNED) {
      unsafe $0.batch.value.rows = UnsafePointer(bitPattern: $0.rows.address + 4)
    },
    Spoiling("inputs at the end of memory", SF_BAD_COUNT) {
      unsafe $0.batch.value.inputs = UnsafePointer(bitPattern: UInt.max - 7)
    },
    Spoiling("features 0", SF_BAD_COUNT) { unsafe $0.batch.value.features = 0 },
    Spoiling("features -1", SF_BAD_COUNT) { unsafe $0.batch.value.features = -1 },
    Spoiling("features greatest", SF_BAD_COUNT) { unsafe $0.batch.value.features = .max },
    Spoiling("features 1 << 60", SF_BAD_COUNT) { unsafe $0.batch.value.features = 1 << 60 },
    Spoiling("features 1", SF_SIZE_MISMATCH, SF_OPERAND_INPUTS) {
      unsafe $0.batch.value.features = 1
    },
    Spoiling("samples 0", SF_BAD_COUNT) { unsafe $0.batch.value.samples = 0 },
    Spoiling("samples -1", SF_BAD_COUNT) { unsafe $0.batch.value.samples = -1 },
    Spoiling("samples greatest", SF_BAD_COUNT) { unsafe $0.batch.value.samples = .max },
    Spoiling("count 0", SF_BAD_COUNT) { unsafe $0.batch.value.count = 0 },
    Spoiling("count -1", SF_BAD_COUNT) { unsafe $0.batch.value.count = -1 },
    Spoiling("count greatest", SF_BAD_COUNT) { unsafe $0.batch.value.count = .max },
    Spoiling("count 5 without rows", SF_BAD_ROW, SF_OPERAND_ROWS) {
      unsafe $0.batch.value.rows = nil
      unsafe $0.batch.value.count = 5
    },
    Spoiling("row 4", SF_BAD_ROW, SF_OPERAND_ROWS) { $0.rows.values[2] = 4 },
    Spoiling("row -1", SF_BAD_ROW, SF_OPERAND_ROWS) { $0.rows.values[0] = -1 },
    Spoiling("row least", SF_BAD_ROW, SF_OPERAND_ROWS) { $0.rows.values[1] = .min },
  ]
  return needsLabels ? labels + others : others
}

private let spoiledResults: @Sendable () -> [Spoiling<NetworkCall>] = {
  [
    Spoiling("result null", SF_NULL_POINTER) { $0.result.address = 0 },
    Spoiling("result misaligned", SF_MISALIGNED) { $0.result.address += 4 },
  ]
}

@Suite struct NetworkGradientsFunctionTests {
  @Test func gradientsAreWrittenAndTheNetworkIsNotChanged() {
    let call = NetworkCall()
    let before = call.parameterBits
    #expect(outcome { call.takeGradients($0) }.isOK)
    #expect(call.gradients.isIntact && call.weights.isUnwritten)
    #expect(call.gradients.values.allSatisfy { $0.isFinite && $0 != -9 })
    #expect(call.result.value.loss > 0)
    #expect((0...3).contains(call.result.value.correct))
    #expect(call.parameterBits == before)
    // At the network's own weights, others come out.
    let given = call.gradients.values
    call.weightList.address = 0
    #expect(outcome { call.takeGradients($0) }.isOK)
    #expect(call.gradients.values != given)
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var spoilings: [Spoiling<NetworkCall>] = [
      Spoiling("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      Spoiling("one tensor", SF_SIZE_MISMATCH, SF_OPERAND_WEIGHTS) { $0.tensors = 1 },
      Spoiling("together -1", SF_BAD_COUNT) { unsafe $0.batch.value.together = -1 },
      Spoiling("together least", SF_BAD_COUNT) { unsafe $0.batch.value.together = .min },
    ]
    spoilings += spoiledLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: false) {
      $0.weightList
    }
    spoilings += spoiledLists("gradients", SF_OPERAND_GRADIENTS, elementSize: 4, required: true) {
      $0.gradientList
    }
    check(spoilings + spoiledBatches(needsLabels: true) + spoiledResults()) { $0.takeGradients }
  }
}

/// Images of a data set, and a network that normalises them.
@Suite struct NormalizationFunctionTests {
  private func gradients(_ change: (NetworkCall) -> Void) -> [Float] {
    let features = 60
    let call = NetworkCall(NetworkCall.handle(imageLayers(), inputShape: [2, 6, 5]))
    let inputs = Memory<Float>((0..<4 * features).map { Float(($0 * 37) % 101) / 50 - 1 })
    let targets = Memory<Float>([Float](repeating: -9, count: 60))
    let list = ArrayList(targets.address, sizes: [54, 6], type: SF_TYPE_FLOAT32)
    unsafe call.batch.value.inputs = UnsafePointer(bitPattern: inputs.address)
    unsafe call.batch.value.features = Int64(features)
    call.weightList.address = 0
    call.gradientList.address = list.address
    change(call)
    let before = call.result.value.loss
    #expect(outcome { call.takeGradients($0) }.isOK)
    #expect(call.result.value.loss != before && inputs.isUnwritten && targets.isIntact)
    return withExtendedLifetime((inputs, list)) { targets.values }
  }

  @Test func statisticsAndPartsAreChosen() {
    let whole = gradients { _ in }
    #expect(whole.allSatisfy { $0.isFinite && $0 != -9 })
    #expect(gradients { unsafe $0.batch.value.together = 3 } == whole)
    #expect(gradients { unsafe $0.batch.value.together = 100 } == whole)
    #expect(gradients { unsafe $0.batch.value.together = 2 } != whole)
    #expect(gradients { $0.running = 1 } != whole)
  }
}

@Suite struct NetworkTrainFunctionTests {
  @Test func trainingLowersTheLoss() {
    let call = NetworkCall()
    #expect(outcome { call.train($0) }.isOK)
    let first = call.result.value.loss
    for _ in 0..<50 { #expect(call.train(.null) == 0) }
    #expect(call.result.value.loss < first)
    #expect(call.inputs.isUnwritten && call.labels.isUnwritten && call.rows.isUnwritten)
  }

  /// After a reset, training goes on as if momentum had never been.
  @Test func aResetForgetsMomentum() {
    func bits(reset: Bool, momentum: Double) -> [UInt32] {
      let call = NetworkCall()
      call.sgd.value = sf_sgd(learning_rate: 0.1, momentum: momentum, weight_decay: 0)
      for _ in 0..<2 {
        #expect(call.train(.null) == 0)
        if reset { #expect(outcome { unsafe sf_network_reset(call.network, $0.pointer) }.isOK) }
      }
      return call.parameterBits
    }
    #expect(bits(reset: true, momentum: 0.9) == bits(reset: false, momentum: 0))
    #expect(bits(reset: false, momentum: 0.9) != bits(reset: false, momentum: 0))
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var spoilings = spoiledBatches(needsLabels: true) + spoiledResults()
    spoilings += [
      Spoiling("sgd null", SF_NULL_POINTER) { $0.sgd.address = 0 },
      Spoiling("sgd misaligned", SF_MISALIGNED) { $0.sgd.address += 4 },
    ]
    for value in [-0.1, .nan, .infinity, -.infinity, 1e300] {
      spoilings += [
        Spoiling("rate \(value)", SF_BAD_HYPERPARAMETER) { $0.sgd.value.learning_rate = value },
        Spoiling("momentum \(value)", SF_BAD_HYPERPARAMETER) { $0.sgd.value.momentum = value },
        Spoiling("decay \(value)", SF_BAD_HYPERPARAMETER) { $0.sgd.value.weight_decay = value },
      ]
    }
    check(spoilings) { $0.train }
  }
}

@Suite struct NetworkEvaluateFunctionTests {
  @Test func theResultIsThatOfGradientsAtTheSameWeights() {
    let call = NetworkCall()
    let before = call.parameterBits
    #expect(outcome { call.evaluate($0) }.isOK)
    let evaluated = call.result.value
    call.weightList.address = 0
    #expect(outcome { call.takeGradients($0) }.isOK)
    #expect(call.result.value.loss == evaluated.loss)
    #expect(call.result.value.correct == evaluated.correct)
    #expect(call.parameterBits == before)
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    check(spoiledBatches(needsLabels: true) + spoiledResults()) { $0.evaluate }
  }
}

@Suite struct NetworkForwardFunctionTests {
  @Test func logitsAreWrittenRowByRow() {
    let call = NetworkCall()
    unsafe call.batch.value.labels = nil
    #expect(outcome { call.forward($0) }.isOK)
    let logits = call.logits.values
    #expect(call.logits.isIntact && logits.allSatisfy { $0.isFinite && $0 != -9 })
    // The rows in another order.
    call.rows.values = [2, 3, 0]
    #expect(outcome { call.forward($0) }.isOK)
    #expect(call.logits.values == Array(logits[4..<6] + logits[0..<4]))
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    let spoilings: [Spoiling<NetworkCall>] = [
      Spoiling("logits null", SF_NULL_POINTER) { $0.logitList.address = 0 },
      Spoiling("logits misaligned", SF_MISALIGNED) { $0.logitList.address += 4 },
      Spoiling("logits[0] null", SF_NULL_POINTER, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setData(0, 0)
      },
      Spoiling("logits[0] misaligned", SF_MISALIGNED, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setData(0, $0.logits.address + 2)
      },
      Spoiling("logits[0] negative", SF_BAD_COUNT, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setCount(0, -1)
      },
      Spoiling("logits[0] of type 1", SF_UNSUPPORTED_TYPE, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setType(0, 1)
      },
      Spoiling("logits[0] shorter", SF_SIZE_MISMATCH, SF_OPERAND_LOGITS) {
        $0.logitList.setCount(0, 5)
      },
      Spoiling("logits[0] empty", SF_SIZE_MISMATCH, SF_OPERAND_LOGITS) {
        $0.logitList.setCount(0, 0)
      },
    ]
    check(spoilings + spoiledBatches(needsLabels: false)) { $0.forward }
  }
}
