// sf_saliency and sf_select: what they compute, and every argument that they refuse.

import CSwiftForce
import Testing

@Suite struct SelectFunctionTests {
  @Test func selects() {
    let call = SelectCall()
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [1, 0, 0, 1, 1])
    #expect(call.masks.isIntact && call.layerKept.isIntact && call.scores.isUnwritten)
    #expect(call.layerKept.values == [1, 2])
    let report = call.report.value
    #expect(report.step == 1)
    #expect(report.keep == 3)
    #expect(report.candidates == 5)
    #expect(report.removed == 2)
    #expect(report.revived == 0)
    #expect(report.zero_scores == 0)
    #expect(report.at_threshold == 1)
    #expect(report.kept_at_threshold == 1)
    #expect(report.arbitrary == 0)
    #expect(report.threshold == 3)
    #expect(report.saliency == 12)
    #expect(report.total_saliency == 15)
    #expect(report.gradient_norm == 0)
  }

  @Test func aDegenerateSelectionIsReported() {
    let call = SelectCall()
    call.scores.values = [0, 1, -0.0, 0, 0]
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [1, 1, 1, 0, 0])
    #expect(call.report.value.zero_scores == 4)
    #expect(call.report.value.arbitrary == 2)
    #expect(call.report.value.threshold.bitPattern == 0)
  }

  @Test func countsPerLayerNeedNotBeWritten() {
    let call = SelectCall()
    call.layerKeptAddress = 0
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.layerKept.isUnwritten)
  }

  /// An empty array may have any address, even null or a misaligned one.
  @Test(arguments: [0, 1, 3] as [UInt])
  func emptyArraysMayHaveAnyAddress(address: UInt) {
    let call = SelectCall()
    for list in [call.scoreList, call.maskList] {
      list.setCount(0, 0)
      list.setData(0, address)
    }
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [7, 7, 1, 1, 1])
    #expect(call.layerKept.values == [0, 3])
  }

  @Test func boundsAndCountsAreKept() {
    let call = SelectCall()
    call.boundsAddress = call.bounds.address
    call.bounds.value.0.least = 2
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [1, 1, 0, 1, 0])
    #expect(call.report.value.kept_by_floors == 2)
    #expect(call.report.value.removed_by_caps == 0)
    call.bounds.value.0.least = 0
    call.bounds.value.1.most_per_output = 1
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [1, 1, 0, 1, 0])
    #expect(call.report.value.removed_by_caps == 2)
    call.bounds.value.1.most_per_output = .max
    call.counts.values = [0, 3]
    call.countsAddress = call.counts.address
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [0, 0, 1, 1, 1])
    #expect(call.layerKept.values == [0, 3])
    call.boundsAddress = 0
    call.counts.values = [2, 1]
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [1, 1, 0, 1, 0])
    #expect(call.counts.isIntact && call.masks.isIntact)
  }

  @Test func refusedBoundsAreNamedWithTheirNumbers() {
    let call = SelectCall()
    call.boundsAddress = call.bounds.address
    call.bounds.value.1.least = 4
    let result = outcome { call.make($0) }
    #expect(result.status == SF_BAD_BOUNDS)
    #expect(result.tensor == 1)
    #expect(
      result.message
        == "weights[1]: at least 4 weights must be kept, and at most 3 of 3 may be")
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<SelectCall>] = [
      // Masks are compared with the scores, so the error names the masks.
      InvalidCall("scores[1] shorter", SF_SIZE_MISMATCH, SF_OPERAND_MASKS, tensor: 1) {
        $0.keep = 1
        $0.scoreList.setCount(1, 1)
      },
      InvalidCall("report null", SF_NULL_POINTER) { $0.report.address = 0 },
      InvalidCall("report misaligned", SF_MISALIGNED) { $0.report.address += 4 },
      InvalidCall("layer_kept misaligned", SF_MISALIGNED) { $0.layerKeptAddress += 1 },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      InvalidCall("keep 0", SF_BAD_KEEP) { $0.keep = 0 },
      InvalidCall("keep 6", SF_BAD_KEEP) { $0.keep = 6 },
      InvalidCall("keep least", SF_BAD_KEEP) { $0.keep = .min },
      InvalidCall("bounds misaligned", SF_MISALIGNED) { $0.boundsAddress = $0.bounds.address + 4 },
      InvalidCall("counts misaligned", SF_MISALIGNED) { $0.countsAddress = $0.counts.address + 4 },
      InvalidCall("a floor of -1", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.1.least = -1
      },
      InvalidCall("a floor above the size", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.0.least = 3
      },
      InvalidCall("-1 output units", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.0.outputs = -1
      },
      InvalidCall("outputs that do not divide", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.1.outputs = 2
      },
      InvalidCall("runs of 0", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.1.inner = 0
      },
      InvalidCall("groups of -1", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.1.group = -1
      },
      InvalidCall("least of everything", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.0 = sf_bounds(
          least: .min, most: .min, outputs: .min, inner: .min, least_per_output: .min,
          most_per_output: .min, group: .min, most_per_group: .min)
      },
      InvalidCall("caps below keep", SF_BAD_BOUNDS) {
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.0.most = 1
        $0.boundsAddress = $0.bounds.address
        $0.bounds.value.1.most = 1
      },
      InvalidCall("counts of another sum", SF_BAD_BOUNDS) {
        $0.counts.values = [1, 1]
        $0.countsAddress = $0.counts.address
      },
      InvalidCall("a negative count", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.counts.values = [-1, 4]
        $0.countsAddress = $0.counts.address
      },
      InvalidCall("counts that overflow", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.counts.values = [.max, .max]
        $0.countsAddress = $0.counts.address
      },
      InvalidCall("a count above the size", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.counts.values = [3, 0]
        $0.countsAddress = $0.counts.address
      },
      InvalidCall("all empty", SF_BAD_COUNT) { call in
        for list in [call.scoreList, call.maskList] { for i in 0..<2 { list.setCount(i, 0) } }
      },
      InvalidCall("masks in scores", SF_OVERLAP, SF_OPERAND_MASKS, tensor: 1) {
        $0.maskList.setData(1, $0.scores.address + 12)
      },
    ]
    invalidCalls += invalidLists("masks", SF_OPERAND_MASKS, elementSize: 1, required: true) {
      $0.maskList
    }
    invalidCalls += invalidLists("scores", SF_OPERAND_SCORES, elementSize: 4, required: true) {
      $0.scoreList
    }.filter { !$0.what.contains("shorter") }
    for invalid in invalidCalls {
      let call = SelectCall()
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.isUnwritten, "\(invalid.what)")
    }
  }

  @Test func aScoreThatIsNotFiniteIsNamed() {
    let call = SelectCall()
    let scores: [Float] = [3, 1, 2, -.infinity, .infinity]
    call.scores.values = scores
    let result = outcome { call.make($0) }
    #expect(result.status == SF_NON_FINITE)
    #expect(result.operand == SF_OPERAND_SCORES)
    #expect(result.tensor == 1)
    #expect(result.index == 1)
    #expect(result.count == 2)
    #expect(result.value == -.infinity)
    #expect(call.masks.isUnwritten && call.report.isUnwritten && call.layerKept.isUnwritten)
  }
}

@Suite struct SaliencyFunctionTests {
  @Test func scores() {
    let call = SaliencyCall()
    for (name, expected) in [
      ("connection_sensitivity", [1, 2, 3, 8, 0] as [Float]),
      ("squared_gradient", [1, 1, 1, 4, 0]),
      ("magnitude", [1, 2, 3, 4, 5]),
    ] {
      call.saliency = number(name, SF_AXIS_SALIENCY)
      #expect(outcome { call.make($0) }.isOK)
      #expect(call.scores.values == expected, "\(name)")
      #expect(call.scores.isIntact && call.weights.isUnwritten && call.gradients.isUnwritten)
    }
  }

  /// The header: NULL where the saliency does not read them.
  @Test func gradientsMayBeNullWhereTheyAreNotRead() {
    for (name, status) in [
      ("connection_sensitivity", SF_MISSING_GRADIENTS), ("squared_gradient", SF_MISSING_GRADIENTS),
      ("magnitude", SF_OK), ("random", SF_OK),
    ] {
      let call = SaliencyCall()
      call.saliency = number(name, SF_AXIS_SALIENCY)
      call.gradientList.address = 0
      let result = outcome { call.make($0) }
      #expect(result.status == status, "\(name)")
      #expect(result.operand == (status == SF_OK ? SF_OPERAND_NONE : SF_OPERAND_GRADIENTS))
      #expect(call.isUnwritten == (status != SF_OK))
    }
  }

  /// The sizes come from the weights.
  @Test func weightsMayNotBeNull() {
    for name in ["squared_gradient", "random"] {
      let call = SaliencyCall()
      call.saliency = number(name, SF_AXIS_SALIENCY)
      call.weightList.address = 0
      #expect(outcome { call.make($0) }.status == SF_NULL_POINTER, "\(name)")
    }
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<SaliencyCall>] = [
      InvalidCall("weights[1] shorter", SF_SIZE_MISMATCH, SF_OPERAND_GRADIENTS, tensor: 1) {
        $0.weightList.setCount(1, 1)
      },
      InvalidCall("saliency -1", SF_UNKNOWN_NAME) { $0.saliency = -1 },
      InvalidCall("saliency 5", SF_UNKNOWN_NAME) { $0.saliency = 5 },
      InvalidCall("given scores", SF_BAD_HYPERPARAMETER) {
        $0.saliency = number("given", SF_AXIS_SALIENCY)
      },
      InvalidCall("saliency greatest", SF_UNKNOWN_NAME) { $0.saliency = .max },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      InvalidCall("all empty", SF_BAD_COUNT) { call in
        for list in [call.weightList, call.gradientList, call.scoreList] {
          for i in 0..<2 { list.setCount(i, 0) }
        }
      },
      InvalidCall("scores in weights", SF_OVERLAP, SF_OPERAND_SCORES, tensor: 1) {
        $0.scoreList.setData(1, $0.weights.address + 12)
      },
    ]
    invalidCalls += invalidLists("gradients", SF_OPERAND_GRADIENTS, elementSize: 4, required: false)
    {
      $0.gradientList
    }
    invalidCalls += invalidLists("scores", SF_OPERAND_SCORES, elementSize: 4, required: true) {
      $0.scoreList
    }
    invalidCalls += invalidLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: true) {
      $0.weightList
    }.filter { !$0.what.contains("shorter") }
    for invalid in invalidCalls {
      let call = SaliencyCall()
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.isUnwritten, "\(invalid.what)")
    }
  }

  @Test func aGradientThatIsNotFiniteIsNamed() {
    let call = SaliencyCall()
    call.gradients.values = [1, 2, 3, .nan, .nan]
    let result = outcome { call.make($0) }
    #expect(result.status == SF_NON_FINITE)
    #expect(result.operand == SF_OPERAND_GRADIENTS)
    #expect(result.tensor == 1)
    #expect(result.index == 1)
    #expect(result.count == 2)
    #expect(result.value.isNaN)
    #expect(call.scores.isIntact)
  }
}
