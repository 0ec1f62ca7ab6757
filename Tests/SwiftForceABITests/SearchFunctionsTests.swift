// The calls of a search: what they do, and every argument that they refuse.

import CSwiftForce
import Testing

/// The outcome and the results of sf_search_state.
private func state(_ search: Int64) -> (result: Outcome, taken: Int64, steps: Int64, keeps: [Int64])
{
  let (taken, steps) = (Cell<Int64>(-1), Cell<Int64>(-1))
  let keeps = Memory<Int64>([-1, -1])
  let result = outcome {
    unsafe sf_search_state(search, taken.pointer, steps.pointer, keeps.base, $0.pointer)
  }
  #expect(keeps.isIntact)
  return (result, taken.value, steps.value, keeps.values)
}

@Suite struct SearchCreateFunctionTests {
  @Test func followsASchedule() {
    let call = SearchCreateCall()
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.search.value > 0)
    #expect(state(call.search.value).keeps == [3, 1])
    #expect(state(call.search.value).taken == 0)
    #expect(state(call.search.value).steps == 2)
  }

  @Test func followsAListAndReadsNoSchedule() {
    let call = SearchCreateCall()
    call.keeps.values = [5, 1]
    call.useKeeps()
    unsafe call.options.value.schedule = -5
    #expect(outcome { call.make($0) }.isOK)
    #expect(state(call.search.value).keeps == [5, 1])
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    let invalidCalls: [InvalidCall<SearchCreateCall>] = [
      InvalidCall("options null", SF_NULL_POINTER) { unsafe $0.options.address = 0 },
      InvalidCall("options misaligned", SF_MISALIGNED) { unsafe $0.options.address += 4 },
      InvalidCall("sizes null", SF_NULL_POINTER) { $0.sizesAddress = 0 },
      InvalidCall("sizes misaligned", SF_MISALIGNED) { $0.sizesAddress += 1 },
      InvalidCall("search null", SF_NULL_POINTER) { $0.search.address = 0 },
      InvalidCall("search misaligned", SF_MISALIGNED) { $0.search.address += 4 },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      InvalidCall("a negative size", SF_BAD_COUNT) { $0.sizesAddress = $0.sizes.address - 8 },
      InvalidCall("method -1", SF_UNKNOWN_NAME) { unsafe $0.options.value.method = -1 },
      InvalidCall("method 7", SF_UNKNOWN_NAME) { unsafe $0.options.value.method = 7 },
      InvalidCall("schedule -1", SF_UNKNOWN_NAME) { unsafe $0.options.value.schedule = -1 },
      InvalidCall("schedule 4", SF_UNKNOWN_NAME) { unsafe $0.options.value.schedule = 4 },
      InvalidCall("keep 0", SF_BAD_KEEP) { unsafe $0.options.value.keep = 0 },
      InvalidCall("keep 6", SF_BAD_KEEP) { unsafe $0.options.value.keep = 6 },
      InvalidCall("keep least", SF_BAD_KEEP) { unsafe $0.options.value.keep = .min },
      InvalidCall("steps 0", SF_BAD_STEPS) { unsafe $0.options.value.steps = 0 },
      InvalidCall("steps -1", SF_BAD_STEPS) { unsafe $0.options.value.steps = -1 },
      InvalidCall("steps greatest", SF_BAD_STEPS) { unsafe $0.options.value.steps = .max },
      InvalidCall("two steps of a one-shot method", SF_BAD_STEPS) {
        unsafe $0.options.value.method = number("snip", SF_AXIS_METHOD)
      },
      InvalidCall("keeps misaligned", SF_MISALIGNED) { $0.useKeeps($0.keeps.address + 4) },
      InvalidCall("keeps end elsewhere", SF_BAD_SCHEDULE) {
        $0.useKeeps()
        unsafe $0.options.value.keep = 2
      },
      InvalidCall("momentum 1", SF_BAD_HYPERPARAMETER) { unsafe $0.options.value.momentum = 1 },
      InvalidCall("momentum NaN", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.momentum = .nan
      },
      InvalidCall("factor 2", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.removed_factor = 2
      },
      InvalidCall("factor -1", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.removed_factor = -1
      },
      InvalidCall("nested from -1", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.nested_from = -1
      },
      InvalidCall("nested from 3", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.nested_from = 3
      },
      InvalidCall("saliency 5", SF_UNKNOWN_NAME) { unsafe $0.options.value.saliency = 5 },
      InvalidCall("rule 3", SF_UNKNOWN_NAME) { unsafe $0.options.value.rule = 3 },
      InvalidCall("momentum of given scores", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.saliency = number("given", SF_AXIS_SALIENCY)
        unsafe $0.options.value.momentum = 0.5
      },
      InvalidCall("factor of given scores", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.saliency = number("given", SF_AXIS_SALIENCY)
        unsafe $0.options.value.removed_factor = 0.5
      },
      InvalidCall("nested from, of a nested rule", SF_BAD_HYPERPARAMETER) {
        unsafe $0.options.value.rule = number("nested", SF_AXIS_RULE)
        unsafe $0.options.value.nested_from = 2
      },
      InvalidCall("bounds misaligned", SF_MISALIGNED) { $0.useBounds($0.bounds.address + 4) },
      InvalidCall("counts misaligned", SF_MISALIGNED) { $0.useCounts($0.counts.address + 4) },
      InvalidCall("a floor of -1", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.useBounds()
        $0.bounds.value.1.least = -1
      },
      InvalidCall("a floor above the size", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.useBounds()
        $0.bounds.value.0.least_per_output = 3
      },
      InvalidCall("floors above keep", SF_BAD_BOUNDS) {
        $0.useBounds()
        $0.bounds.value.0.least = 1
        $0.bounds.value.1.least = 1
      },
      InvalidCall("caps below the listed keeps", SF_BAD_BOUNDS) {
        $0.useKeeps()
        $0.useBounds()
        $0.bounds.value.0.most = 1
        $0.bounds.value.1.most = 1
      },
      InvalidCall("counts of another sum", SF_BAD_BOUNDS) {
        $0.useCounts()
        $0.counts.values = [1, 1]
      },
      InvalidCall("a negative count", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.useCounts()
        $0.counts.values = [-1, 2]
      },
      InvalidCall("bounds with other ranks", SF_BAD_BOUNDS) {
        $0.useBounds()
        unsafe $0.options.value.total = 5
      },
      InvalidCall("counts with other ranks", SF_BAD_BOUNDS) {
        $0.useCounts()
        unsafe $0.options.value.total = 5
      },
      InvalidCall("keeps start elsewhere", SF_BAD_SCHEDULE) { $0.useKeeps($0.keeps.address - 8) },
    ]
    for invalid in invalidCalls {
      let call = SearchCreateCall()
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.search.isUnwritten, "\(invalid.what)")
    }
  }

  /// The schedule would keep three weights in the first step, and the caps allow two.
  @Test func stepsKeepAsManyAsCapsAllow() {
    let call = SearchCreateCall()
    call.useBounds()
    call.bounds.value.0.most = 1
    call.bounds.value.1.most_per_output = 1
    #expect(outcome { call.make($0) }.isOK)
    #expect(state(call.search.value).keeps == [2, 1])
  }

  @Test func takesStepsWithLimits() {
    let call = SearchCreateCall()
    call.useBounds()
    call.useCounts()
    call.bounds.value.1.most = 1
    call.counts.values = [0, 1]
    unsafe call.options.value.saliency = number("given", SF_AXIS_SALIENCY)
    unsafe call.options.value.rule = number("nested", SF_AXIS_RULE)
    #expect(outcome { call.make($0) }.isOK)
    let step = SearchStepCall()
    step.search = call.search.value
    step.gradients.values = [-5, -4, -3, -2, -1]
    #expect(outcome { step.make($0) }.isOK)
    #expect(step.masks.values == [1, 1, 0, 0, 1])
    #expect(step.report.value.saliency == -10)
    #expect(step.report.value.total_saliency == -15)
    step.gradients.values = [5, 4, 3, 2, -1]
    #expect(outcome { step.make($0) }.isOK)
    #expect(step.masks.values == [0, 0, 0, 0, 1])
    #expect(step.report.value.total_saliency == 8)
    #expect(step.report.value.threshold == -1)
  }

  @Test func sizesThatOverflow() {
    for sizes in [[Int64.max, 1], [1 << 62, 1], [0, 0]] as [[Int64]] {
      let call = SearchCreateCall()
      call.sizes.values = sizes
      #expect(outcome { call.make($0) }.status == SF_BAD_COUNT)
      #expect(call.search.isUnwritten)
    }
  }
}

@Suite struct SearchStepFunctionTests {
  @Test func twoStepsAndNoThird() {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    // Scores 5 8 9 8 5.
    #expect(call.masks.values == [0, 1, 1, 1, 0])
    #expect(call.masked.values == [0, 2, 3, 4, 0])
    #expect(call.layerKept.values == [1, 2])
    #expect(call.report.value.step == 1)
    #expect(call.report.value.threshold == 8)
    #expect(call.report.value.kept_at_threshold == 2)
    #expect(call.report.value.gradient_norm == 55.0.squareRoot())
    call.gradients.values = [9, 1, 1, 1, 0]
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [1, 0, 0, 0, 0])
    #expect(call.report.value.revived == 1)
    #expect(call.report.value.removed == 3)
    #expect(call.taken == 2)
    let masks = call.masks.values
    #expect(outcome { call.make($0) }.status == SF_SEARCH_DONE)
    #expect(call.masks.values == masks)
    #expect(call.taken == 2)
    #expect(call.masks.isIntact && call.masked.isIntact && call.layerKept.isIntact)
    #expect(call.weights.isUnwritten)
  }

  @Test func maskedWeightsAndCountsNeedNotBeWritten() {
    let call = SearchStepCall()
    call.maskedList.address = 0
    call.layerKeptAddress = 0
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masked.isUnwritten && call.layerKept.isUnwritten)
    #expect(call.masks.values == [0, 1, 1, 1, 0])
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<SearchStepCall>] = [
      InvalidCall("gradients null", SF_MISSING_GRADIENTS, SF_OPERAND_GRADIENTS) {
        $0.gradientList.address = 0
      },
      InvalidCall("arrays null", SF_NULL_POINTER) { $0.passesArrays = false },
      InvalidCall("arrays misaligned", SF_MISALIGNED) { $0.arraysOffset = 4 },
      InvalidCall("report null", SF_NULL_POINTER) { $0.report.address = 0 },
      InvalidCall("report misaligned", SF_MISALIGNED) { $0.report.address += 1 },
      InvalidCall("layer_kept misaligned", SF_MISALIGNED) { $0.layerKeptAddress += 4 },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      InvalidCall("one tensor", SF_SIZE_MISMATCH, SF_OPERAND_WEIGHTS) { $0.tensors = 1 },
      InvalidCall("NaN gradient", SF_NON_FINITE, SF_OPERAND_GRADIENTS, tensor: 1) {
        $0.gradients.values[4] = .nan
      },
      InvalidCall("infinite weight", SF_NON_FINITE, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.weights.values[0] = .infinity
      },
      InvalidCall("overflowing score", SF_NON_FINITE, SF_OPERAND_SCORES, tensor: 1) {
        $0.weights.values[2] = 0x1p100
        $0.gradients.values[2] = 0x1p100
      },
    ]
    invalidCalls += invalidLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: true) {
      $0.weightList
    }
    invalidCalls += invalidLists("gradients", SF_OPERAND_GRADIENTS, elementSize: 4, required: false)
    {
      $0.gradientList
    }
    invalidCalls += invalidLists("masks", SF_OPERAND_MASKS, elementSize: 1, required: true) {
      $0.maskList
    }
    invalidCalls += invalidLists(
      "masked", SF_OPERAND_MASKED_WEIGHTS, elementSize: 4, required: false
    ) { $0.maskedList }
    for invalid in invalidCalls {
      let call = SearchStepCall()
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.masks.isUnwritten && call.masked.isUnwritten, "\(invalid.what)")
      #expect(call.report.isUnwritten && call.layerKept.isUnwritten, "\(invalid.what)")
      #expect(call.taken == 0, "\(invalid.what)")
    }
  }

  @Test func tamperedMasksAreRefusedAndTheStepMayBeTriedAgain() {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let (masks, masked) = (call.masks.values, call.masked.values)
    call.masks.values[0] = 1
    let result = outcome { call.make($0) }
    #expect(result.status == SF_MASKS_CHANGED)
    #expect(result.count == 4)
    #expect(call.masked.values == masked)
    #expect(call.taken == 1)
    call.masks.values = masks
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.taken == 2)
  }
}

@Suite struct DampedStepFunctionTests {
  @Test func accumulatedScoresAreReadAndWritten() {
    let call = SearchStepCall(momentum: 0.5)
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.accumulated.values == [5, 8, 9, 8, 5])
    #expect(call.report.value.objective_before == 35)
    call.gradients.values = [0, 0, 0, 0, 0.25]
    // 2.5 4 4.5 4 3.75
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.masks.values == [0, 0, 1, 0, 0])
    #expect(call.accumulated.values == [2.5, 4, 4.5, 4, 3.75])
    #expect(call.report.value.objective_before == 0)
    #expect(call.accumulated.isIntact)
  }

  @Test func badAccumulatedAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<SearchStepCall>] = [
      InvalidCall("accumulated null", SF_SIZE_MISMATCH, SF_OPERAND_ACCUMULATED) {
        $0.accumulatedList.address = 0
      },
      InvalidCall("NaN gradient", SF_NON_FINITE, SF_OPERAND_GRADIENTS, tensor: 1) {
        $0.gradients.values[4] = .nan
      },
    ]
    invalidCalls += invalidLists(
      "accumulated", SF_OPERAND_ACCUMULATED, elementSize: 4, required: false
    ) {
      $0.accumulatedList
    }
    for invalid in invalidCalls {
      let call = SearchStepCall(momentum: 0.5)
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(call.accumulated.isUnwritten && call.report.isUnwritten, "\(invalid.what)")
      #expect(call.taken == 0, "\(invalid.what)")
    }
  }

  @Test func accumulatedScoresAreIgnoredWithoutMomentum() {
    let call = SearchStepCall()
    call.accumulatedList.address = 0
    #expect(outcome { call.make($0) }.isOK)
    let other = SearchStepCall()
    #expect(outcome { other.make($0) }.isOK)
    #expect(other.accumulated.isUnwritten)
  }
}

@Suite struct ObjectiveFunctionTests {
  @Test func sumsTheKeptScores() {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let objective = Cell<Double>(-1)
    #expect(outcome { unsafe call.measure(objective, $0) }.isOK)
    #expect(objective.value == 8 + 9 + 8)
    #expect(call.taken == 1)
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    let invalidCalls: [InvalidCall<SearchStepCall>] = [
      InvalidCall("arrays null", SF_NULL_POINTER) { $0.passesArrays = false },
      InvalidCall("arrays misaligned", SF_MISALIGNED) { $0.arraysOffset = 4 },
      InvalidCall("no handle", SF_BAD_HANDLE) { $0.search = -1 },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("one tensor", SF_SIZE_MISMATCH) { $0.tensors = 1 },
      InvalidCall("weights null", SF_NULL_POINTER) { $0.weightList.address = 0 },
      InvalidCall("masks null", SF_NULL_POINTER) { $0.maskList.address = 0 },
      InvalidCall("gradients null", SF_MISSING_GRADIENTS) { $0.gradientList.address = 0 },
      InvalidCall("NaN gradient", SF_NON_FINITE) { $0.gradients.values[4] = .nan },
    ]
    for invalid in invalidCalls {
      let call = SearchStepCall()
      call.masks.values = [1, 1, 1, 1, 1]
      invalid.mutate(call)
      let objective = Cell<Double>(-1)
      let result = outcome { unsafe call.measure(objective, $0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(objective.isUnwritten, "\(invalid.what)")
    }
    let objective = Cell<Double>(-1)
    objective.address = 0
    let call = SearchStepCall()
    #expect(outcome { unsafe call.measure(objective, $0) }.status == SF_NULL_POINTER)
  }
}

@Suite struct SharedStepFunctionTests {
  @Test func equalsTheStepOfOneRankIfTheOthersHaveNoWeights() {
    let (call, alone) = (SharedStepCall(), SearchStepCall())
    for _ in 0..<2 {
      #expect(outcome { call.make($0) }.isOK)
      #expect(outcome { alone.make($0) }.isOK)
      #expect(call.step.masks.values == alone.masks.values)
      #expect(call.step.masked.values == alone.masked.values)
      #expect(call.step.layerKept.values == alone.layerKept.values)
      #expect(call.step.report.value.saliency == alone.report.value.saliency)
      #expect(call.step.report.value.kept_at_threshold == alone.report.value.kept_at_threshold)
    }
    #expect(outcome { call.make($0) }.status == SF_SEARCH_DONE)
    #expect(call.exchange.value.failures == 1)
    #expect(call.step.masks.isIntact && call.step.masked.isIntact)
  }

  /// No sum follows one that failed.
  @Test func sumsThatFail() {
    for failing in Int64(1)...5 {
      let call = SharedStepCall()
      call.exchange.value.failing = failing
      #expect(outcome { call.make($0) }.status == SF_EXCHANGE_FAILED)
      #expect(call.exchange.value.calls == failing)
      #expect(call.step.report.isUnwritten && call.step.layerKept.isUnwritten)
      #expect(call.step.taken == 0)
      #expect(outcome { call.make($0) }.isOK)
    }
  }

  @Test func anotherRankThatFailed() {
    for failingElsewhere in Int64(1)...5 {
      let call = SharedStepCall()
      call.exchange.value.failingElsewhere = failingElsewhere
      #expect(outcome { call.make($0) }.status == SF_RANK_FAILED)
      #expect(call.exchange.value.calls == failingElsewhere)
      #expect(call.step.taken == 0)
      #expect(outcome { call.make($0) }.isOK)
    }
  }

  /// A rank that refuses its arguments reports the failure to the others once.
  @Test func refusalsAreReportedToTheOtherRanks() {
    var invalidCalls: [InvalidCall<SharedStepCall>] = [
      InvalidCall("arrays null", SF_NULL_POINTER) { $0.step.passesArrays = false },
      InvalidCall("arrays misaligned", SF_MISALIGNED) { $0.step.arraysOffset = 4 },
      InvalidCall("report null", SF_NULL_POINTER) { $0.step.report.address = 0 },
      InvalidCall("no handle", SF_BAD_HANDLE) { $0.step.search = -1 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.step.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.step.tensors = .max },
      InvalidCall("no tensors", SF_SIZE_MISMATCH, SF_OPERAND_WEIGHTS) { $0.step.tensors = 0 },
      InvalidCall("gradients null", SF_MISSING_GRADIENTS, SF_OPERAND_GRADIENTS) {
        $0.step.gradientList.address = 0
      },
      InvalidCall("NaN gradient", SF_NON_FINITE, SF_OPERAND_GRADIENTS, tensor: 1) {
        $0.step.gradients.values[4] = .nan
      },
      InvalidCall("starts that descend", SF_BAD_START, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.starts.values = [0, 1]
      },
      InvalidCall("a start beyond the end", SF_BAD_START, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.starts.values = [0, 3]
      },
      InvalidCall("a negative start", SF_BAD_START, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.starts.values = [.min, 0]
      },
    ]
    invalidCalls += invalidLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: true) {
      $0.step.weightList
    }
    for invalid in invalidCalls {
      let call = SharedStepCall()
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.exchange.value.failures == 1, "\(invalid.what)")
      #expect(call.step.report.isUnwritten, "\(invalid.what)")
    }
  }

  /// Without valid ranks the failure cannot be reported to the others.
  @Test func invalidRanks() {
    let invalidCalls: [InvalidCall<SharedStepCall>] = [
      InvalidCall("ranks null", SF_NULL_POINTER) { unsafe $0.ranks.address = 0 },
      InvalidCall("ranks misaligned", SF_MISALIGNED) { unsafe $0.ranks.address += 4 },
      InvalidCall("sum null", SF_NULL_POINTER) { unsafe $0.ranks.value.sum = nil },
      InvalidCall("starts null", SF_NULL_POINTER) { unsafe $0.ranks.value.starts = nil },
      InvalidCall("starts misaligned", SF_MISALIGNED) {
        unsafe $0.ranks.value.starts = UnsafePointer(bitPattern: $0.starts.address + 4)
      },
    ]
    for invalid in invalidCalls {
      let call = SharedStepCall()
      invalid.mutate(call)
      #expect(outcome { call.make($0) }.status == invalid.status, "\(invalid.what)")
      #expect(call.exchange.isUnwritten && call.step.isUnwritten, "\(invalid.what)")
    }
  }

  @Test func totalsAndStepsTakenBefore() {
    func created(total: Int64, taken: Int64, tensors: Int64 = 2) -> sf_status {
      let call = SearchCreateCall()
      unsafe call.options.value.total = total
      unsafe call.options.value.taken = taken
      call.tensors = tensors
      let result = outcome { call.make($0) }.status
      #expect((result == SF_OK) != call.isUnwritten)
      return result
    }
    #expect(created(total: 5, taken: 0) == SF_OK)
    #expect(created(total: 1 << 60, taken: 0) == SF_OK)
    #expect(created(total: 5, taken: 0, tensors: 0) == SF_OK)
    #expect(created(total: 0, taken: 0, tensors: 0) == SF_BAD_COUNT)
    #expect(created(total: 4, taken: 0) == SF_SIZE_MISMATCH)
    #expect(created(total: -1, taken: 0) == SF_BAD_COUNT)
    #expect(created(total: .max, taken: 0) == SF_BAD_COUNT)
    #expect(created(total: 0, taken: 2) == SF_OK)
    #expect(created(total: 0, taken: 3) == SF_BAD_STEPS)
    #expect(created(total: 0, taken: -1) == SF_BAD_STEPS)
  }

  /// A step of a search with several ranks needs the ranks.
  @Test func aSearchOfSeveralRanksNeedsThem() {
    let create = SearchCreateCall()
    unsafe create.options.value.total = 6
    #expect(outcome { create.make($0) }.isOK)
    let call = SearchStepCall()
    call.search = create.search.value
    #expect(outcome { call.make($0) }.status == SF_SIZE_MISMATCH)
    #expect(call.isUnwritten)
  }
}

@Suite struct SearchStateFunctionTests {
  @Test func badArguments() {
    let search = SearchCreateCall.handle()
    let (taken, steps) = (Memory<Int64>([-1]), Memory<Int64>([-1]))
    let keeps = Memory<Int64>([-1, -1])
    func result(_ a: UInt, _ b: UInt, _ c: UInt) -> sf_status {
      withExtendedLifetime((taken, steps, keeps)) {
        outcome {
          unsafe sf_search_state(
            search, UnsafeMutablePointer(bitPattern: a), UnsafeMutablePointer(bitPattern: b),
            UnsafeMutablePointer(bitPattern: c), $0.pointer)
        }.status
      }
    }
    let (a, b, c) = (taken.address, steps.address, keeps.address)
    #expect(result(0, b, c) == SF_NULL_POINTER)
    #expect(result(a, 0, c) == SF_NULL_POINTER)
    #expect(result(a + 4, b, c) == SF_MISALIGNED)
    #expect(result(a, b + 1, c) == SF_MISALIGNED)
    #expect(result(a, b, c + 2) == SF_MISALIGNED)
    #expect(taken.isUnwritten && steps.isUnwritten && keeps.isUnwritten)
    #expect(result(a, b, 0) == SF_OK)
    #expect(taken.values == [0])
    #expect(steps.values == [2])
    #expect(keeps.isUnwritten)
  }
}

@Suite struct SearchReportFunctionTests {
  /// The outcome of sf_search_report for a step.
  private func result(
    _ search: Int64, _ step: Int64, _ report: Cell<sf_report>, _ kept: Memory<Int64>,
    tensors: Int64 = 2
  ) -> Outcome {
    outcome {
      unsafe sf_search_report(search, step, report.pointer, kept.base, tensors, $0.pointer)
    }
  }

  @Test func returnsTheReportOfAStepAgain() {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let (report, kept) = (Cell(sf_report()), Memory<Int64>([-1, -1]))
    #expect(result(call.search, 1, report, kept).isOK)
    #expect(report.value.keep == call.report.value.keep)
    #expect(report.value.saliency == call.report.value.saliency)
    #expect(kept.values == call.layerKept.values)
  }

  @Test(arguments: [0, -1, 2, .min, .max] as [Int64])
  func refusesStepsNotTaken(step: Int64) {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let (report, kept) = (Cell(sf_report()), Memory<Int64>([-1, -1]))
    #expect(result(call.search, step, report, kept).status == SF_BAD_STEPS)
    #expect(result(call.search, 1, report, kept, tensors: 3).status == SF_BAD_COUNT)
    #expect(report.isUnwritten && kept.isUnwritten)
  }
}
