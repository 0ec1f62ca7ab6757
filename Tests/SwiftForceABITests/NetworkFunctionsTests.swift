// The calls of a network: what they do, and every argument that they refuse.

import CSwiftForce
import Testing

@Suite struct NetworkCreateFunctionTests {
  private func said(
    _ layers: [(kind: String, inputs: Int64, outputs: Int64)], count: Int64? = nil
  ) -> (said: Outcome, network: Cell<Int64>) {
    let network = Cell<Int64>(-1)
    let list = NetworkCall.layers(layers)
    let said = outcome {
      NetworkCall.create(list, count: count ?? Int64(layers.count), network, $0)
    }
    if said.isOK { _ = sf_network_release(network.value, nil) }
    return (said, network)
  }

  @Test func creates() {
    let (said, network) = said([("linear", 5, 4), ("relu", 0, 0), ("linear", 4, 3)])
    #expect(said.isOK)
    #expect(network.value > 0)
  }

  @Test func layersThatDoNotFitAreNamed() {
    let huge = Int64(Int32.max)
    for (layers, fault) in [
      ([("relu", 0, 0)], 0), ([("linear", 0, 3)], 0), ([("linear", 3, 0)], 0),
      ([("linear", -1, 3)], 0), ([("linear", .min, .max)], 0), ([("linear", 3, huge + 1)], 0),
      ([("linear", 3, 4), ("linear", 5, 2)], 1), ([("linear", 3, 4), ("relu", 4, 4)], 1),
      ([("linear", huge, huge)], 0),
    ] as [([(String, Int64, Int64)], Int64)] {
      let (said, network) = said(layers.map { (kind: $0.0, inputs: $0.1, outputs: $0.2) })
      #expect(said.status == SF_BAD_ARCHITECTURE, "\(layers)")
      #expect(said.index == fault, "\(layers)")
      #expect(network.isUnwritten)
    }
  }

  @Test func badArguments() {
    for count in [0, -1, .min, .max] as [Int64] {
      let (said, network) = said([("linear", 2, 2)], count: count)
      #expect(said.status == SF_BAD_COUNT)
      #expect(network.isUnwritten)
    }
    // A name that is not among the layers has the number -1.
    #expect(said([("no such layer", 2, 2)]).said.status == SF_UNKNOWN_NAME)
    let network = Cell<Int64>(-1)
    let layers = NetworkCall.layers([("linear", 2, 2)])
    func create(_ address: UInt) -> sf_status {
      withExtendedLifetime((layers, network)) {
        outcome {
          unsafe sf_network_create(
            UnsafePointer(bitPattern: address), 1, 7, network.pointer, $0.pointer)
        }.status
      }
    }
    #expect(create(0) == SF_NULL_POINTER)
    #expect(create(layers.address + 4) == SF_MISALIGNED)
    network.address += 4
    #expect(create(layers.address) == SF_MISALIGNED)
    network.address = 0
    #expect(create(layers.address) == SF_NULL_POINTER)
    #expect(network.isUnwritten)
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
