// The calls of a network that take a batch: what they do, and every argument that they refuse.

import CSwiftForce
import Testing

/// All that may be wrong with the batch of a call.
private func invalidBatches(needsLabels: Bool) -> [InvalidCall<NetworkCall>] {
  let labels: [InvalidCall<NetworkCall>] = [
    InvalidCall("labels null", SF_NULL_POINTER) { unsafe $0.batch.value.labels = nil },
    InvalidCall("label 2", SF_BAD_LABEL, SF_OPERAND_LABELS) { $0.labels.values[0] = 2 },
    InvalidCall("label -1", SF_BAD_LABEL, SF_OPERAND_LABELS) { $0.labels.values[3] = -1 },
    InvalidCall("label greatest", SF_BAD_LABEL, SF_OPERAND_LABELS) { $0.labels.values[2] = .max },
  ]
  let others: [InvalidCall<NetworkCall>] = [
    InvalidCall("batch null", SF_NULL_POINTER) { unsafe $0.batch.address = 0 },
    InvalidCall("batch misaligned", SF_MISALIGNED) { unsafe $0.batch.address += 4 },
    InvalidCall("inputs null", SF_NULL_POINTER) { unsafe $0.batch.value.inputs = nil },
    InvalidCall("inputs misaligned", SF_MISALIGNED) {
      unsafe $0.batch.value.inputs = UnsafePointer(bitPattern: $0.inputs.address + 1)
    },
    InvalidCall("labels misaligned", SF_MISALIGNED) {
      unsafe $0.batch.value.labels = UnsafePointer(bitPattern: $0.labels.address + 4)
    },
    InvalidCall("rows misaligned", SF_MISALIGNED) {
      unsafe $0.batch.value.rows = UnsafePointer(bitPattern: $0.rows.address + 4)
    },
    InvalidCall("inputs at the end of memory", SF_BAD_COUNT) {
      unsafe $0.batch.value.inputs = UnsafePointer(bitPattern: UInt.max - 7)
    },
    InvalidCall("features 0", SF_BAD_COUNT) { unsafe $0.batch.value.features = 0 },
    InvalidCall("features -1", SF_BAD_COUNT) { unsafe $0.batch.value.features = -1 },
    InvalidCall("features greatest", SF_BAD_COUNT) { unsafe $0.batch.value.features = .max },
    InvalidCall("features 1 << 60", SF_BAD_COUNT) { unsafe $0.batch.value.features = 1 << 60 },
    InvalidCall("features 1", SF_SIZE_MISMATCH, SF_OPERAND_INPUTS) {
      unsafe $0.batch.value.features = 1
    },
    InvalidCall("samples 0", SF_BAD_COUNT) { unsafe $0.batch.value.samples = 0 },
    InvalidCall("samples -1", SF_BAD_COUNT) { unsafe $0.batch.value.samples = -1 },
    InvalidCall("samples greatest", SF_BAD_COUNT) { unsafe $0.batch.value.samples = .max },
    InvalidCall("count 0", SF_BAD_COUNT) { unsafe $0.batch.value.count = 0 },
    InvalidCall("count -1", SF_BAD_COUNT) { unsafe $0.batch.value.count = -1 },
    InvalidCall("count greatest", SF_BAD_COUNT) { unsafe $0.batch.value.count = .max },
    InvalidCall("count 5 without rows", SF_BAD_ROW, SF_OPERAND_ROWS) {
      unsafe $0.batch.value.rows = nil
      unsafe $0.batch.value.count = 5
    },
    InvalidCall("row 4", SF_BAD_ROW, SF_OPERAND_ROWS) { $0.rows.values[2] = 4 },
    InvalidCall("row -1", SF_BAD_ROW, SF_OPERAND_ROWS) { $0.rows.values[0] = -1 },
    InvalidCall("row least", SF_BAD_ROW, SF_OPERAND_ROWS) { $0.rows.values[1] = .min },
  ]
  return needsLabels ? labels + others : others
}

private let invalidResults: @Sendable () -> [InvalidCall<NetworkCall>] = {
  [
    InvalidCall("result null", SF_NULL_POINTER) { $0.result.address = 0 },
    InvalidCall("result misaligned", SF_MISALIGNED) { $0.result.address += 4 },
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
    // At the network's own weights the gradients are different.
    let given = call.gradients.values
    call.weightList.address = 0
    #expect(outcome { call.takeGradients($0) }.isOK)
    #expect(call.gradients.values != given)
  }

  @Test func lossesAndTemperatures() {
    func gradients(_ loss: Int32, _ temperature: Double) -> (Double, [Float]) {
      let call = NetworkCall()
      (call.loss, call.temperature) = (loss, temperature)
      #expect(outcome { call.takeGradients($0) }.isOK)
      return (call.result.value.loss, call.gradients.values)
    }
    let all = [gradients(0, 1), gradients(0, 2), gradients(1, 1)]
    for (i, one) in all.enumerated() {
      for other in all[..<i] { #expect(one.0 != other.0 && one.1 != other.1) }
    }
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<NetworkCall>] = [
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("one tensor", SF_SIZE_MISMATCH, SF_OPERAND_WEIGHTS) { $0.tensors = 1 },
      InvalidCall("together -1", SF_BAD_COUNT) { unsafe $0.batch.value.together = -1 },
      InvalidCall("together least", SF_BAD_COUNT) { unsafe $0.batch.value.together = .min },
      InvalidCall("loss -1", SF_UNKNOWN_NAME) { $0.loss = -1 },
      InvalidCall("loss 2", SF_UNKNOWN_NAME) { $0.loss = 2 },
      InvalidCall("temperature 0", SF_BAD_HYPERPARAMETER) { $0.temperature = 0 },
      InvalidCall("temperature NaN", SF_BAD_HYPERPARAMETER) { $0.temperature = .nan },
      InvalidCall("temperature of another loss", SF_BAD_HYPERPARAMETER) {
        $0.loss = 1
        $0.temperature = 2
      },
    ]
    invalidCalls += invalidLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: false) {
      $0.weightList
    }
    invalidCalls += invalidLists("gradients", SF_OPERAND_GRADIENTS, elementSize: 4, required: true)
    {
      $0.gradientList
    }
    expectRefusals(invalidCalls + invalidBatches(needsLabels: true) + invalidResults()) {
      $0.takeGradients
    }
  }
}

/// A network with batch normalisation, and images.
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

  /// After a reset, training continues with zero momentum.
  @Test func aResetClearsMomentum() {
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
    var invalidCalls = invalidBatches(needsLabels: true) + invalidResults()
    invalidCalls += [
      InvalidCall("sgd null", SF_NULL_POINTER) { $0.sgd.address = 0 },
      InvalidCall("sgd misaligned", SF_MISALIGNED) { $0.sgd.address += 4 },
    ]
    for value in [-0.1, .nan, .infinity, -.infinity, 1e300] {
      invalidCalls += [
        InvalidCall("rate \(value)", SF_BAD_HYPERPARAMETER) { $0.sgd.value.learning_rate = value },
        InvalidCall("momentum \(value)", SF_BAD_HYPERPARAMETER) { $0.sgd.value.momentum = value },
        InvalidCall("decay \(value)", SF_BAD_HYPERPARAMETER) { $0.sgd.value.weight_decay = value },
      ]
    }
    expectRefusals(invalidCalls) { $0.train }
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
    expectRefusals(invalidBatches(needsLabels: true) + invalidResults()) { $0.evaluate }
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
    let invalidCalls: [InvalidCall<NetworkCall>] = [
      InvalidCall("logits null", SF_NULL_POINTER) { $0.logitList.address = 0 },
      InvalidCall("logits misaligned", SF_MISALIGNED) { $0.logitList.address += 4 },
      InvalidCall("logits[0] null", SF_NULL_POINTER, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setData(0, 0)
      },
      InvalidCall("logits[0] misaligned", SF_MISALIGNED, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setData(0, $0.logits.address + 2)
      },
      InvalidCall("logits[0] negative", SF_BAD_COUNT, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setCount(0, -1)
      },
      InvalidCall("logits[0] of type 1", SF_UNSUPPORTED_TYPE, SF_OPERAND_LOGITS, tensor: 0) {
        $0.logitList.setType(0, 1)
      },
      InvalidCall("logits[0] shorter", SF_SIZE_MISMATCH, SF_OPERAND_LOGITS) {
        $0.logitList.setCount(0, 5)
      },
      InvalidCall("logits[0] empty", SF_SIZE_MISMATCH, SF_OPERAND_LOGITS) {
        $0.logitList.setCount(0, 0)
      },
    ]
    expectRefusals(invalidCalls + invalidBatches(needsLabels: false)) { $0.forward }
  }
}
