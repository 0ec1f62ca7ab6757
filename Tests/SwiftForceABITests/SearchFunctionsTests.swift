// The calls of a search: what they do, and every argument that they refuse.

import CSwiftForce
import Testing

/// What sf_search_state says.
private func state(_ search: Int64) -> (said: Outcome, taken: Int64, steps: Int64, keeps: [Int64]) {
  let (taken, steps) = (Cell<Int64>(-1), Cell<Int64>(-1))
  let keeps = Memory<Int64>([-1, -1])
  let said = outcome {
    unsafe sf_search_state(search, taken.pointer, steps.pointer, keeps.base, $0.pointer)
  }
  #expect(keeps.isIntact)
  return (said, taken.value, steps.value, keeps.values)
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
    let spoilings: [Spoiling<SearchCreateCall>] = [
      Spoiling("options null", SF_NULL_POINTER) { unsafe $0.options.address = 0 },
      Spoiling("options misaligned", SF_MISALIGNED) { unsafe $0.options.address += 4 },
      Spoiling("sizes null", SF_NULL_POINTER) { $0.sizesAddress = 0 },
      Spoiling("sizes misaligned", SF_MISALIGNED) { $0.sizesAddress += 1 },
      Spoiling("search null", SF_NULL_POINTER) { $0.search.address = 0 },
      Spoiling("search misaligned", SF_MISALIGNED) { $0.search.address += 4 },
      Spoiling("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      Spoiling("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      Spoiling("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      Spoiling("a negative size", SF_BAD_COUNT) { $0.sizesAddress = $0.sizes.address - 8 },
      Spoiling("method -1", SF_UNKNOWN_NAME) { unsafe $0.options.value.method = -1 },
      Spoiling("method 6", SF_UNKNOWN_NAME) { unsafe $0.options.value.method = 6 },
      Spoiling("schedule -1", SF_UNKNOWN_NAME) { unsafe $0.options.value.schedule = -1 },
      Spoiling("schedule 4", SF_UNKNOWN_NAME) { unsafe $0.options.value.schedule = 4 },
      Spoiling("keep 0", SF_BAD_KEEP) { unsafe $0.options.value.keep = 0 },
      Spoiling("keep 6", SF_BAD_KEEP) { unsafe $0.options.value.keep = 6 },
      Spoiling("keep least", SF_BAD_KEEP) { unsafe $0.options.value.keep = .min },
      Spoiling("steps 0", SF_BAD_STEPS) { unsafe $0.options.value.steps = 0 },
      Spoiling("steps -1", SF_BAD_STEPS) { unsafe $0.options.value.steps = -1 },
      Spoiling("steps greatest", SF_BAD_STEPS) { unsafe $0.options.value.steps = .max },
      Spoiling("two steps of a one-shot method", SF_BAD_STEPS) {
        unsafe $0.options.value.method = number("snip", SF_AXIS_METHOD)
      },
      Spoiling("keeps misaligned", SF_MISALIGNED) { $0.useKeeps($0.keeps.address + 4) },
      Spoiling("keeps end elsewhere", SF_BAD_SCHEDULE) {
        $0.useKeeps()
        unsafe $0.options.value.keep = 2
      },
      Spoiling("keeps start elsewhere", SF_BAD_SCHEDULE) { $0.useKeeps($0.keeps.address - 8) },
    ]
    for spoiling in spoilings {
      let call = SearchCreateCall()
      spoiling.spoil(call)
      #expect(outcome { call.make($0) }.status == spoiling.status, "\(spoiling.what)")
      #expect(call.isUnwritten, "\(spoiling.what)")
    }
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
    var spoilings: [Spoiling<SearchStepCall>] = [
      Spoiling("gradients null", SF_MISSING_GRADIENTS, SF_OPERAND_GRADIENTS) {
        $0.gradientList.address = 0
      },
      Spoiling("arrays null", SF_NULL_POINTER) { $0.passesArrays = false },
      Spoiling("arrays misaligned", SF_MISALIGNED) { $0.arraysOffset = 4 },
      Spoiling("report null", SF_NULL_POINTER) { $0.report.address = 0 },
      Spoiling("report misaligned", SF_MISALIGNED) { $0.report.address += 1 },
      Spoiling("layer_kept misaligned", SF_MISALIGNED) { $0.layerKeptAddress += 4 },
      Spoiling("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      Spoiling("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      Spoiling("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      Spoiling("one tensor", SF_SIZE_MISMATCH, SF_OPERAND_WEIGHTS) { $0.tensors = 1 },
      Spoiling("NaN gradient", SF_NON_FINITE, SF_OPERAND_GRADIENTS, tensor: 1) {
        $0.gradients.values[4] = .nan
      },
      Spoiling("infinite weight", SF_NON_FINITE, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.weights.values[0] = .infinity
      },
      Spoiling("overflowing score", SF_NON_FINITE, SF_OPERAND_SCORES, tensor: 1) {
        $0.weights.values[2] = 0x1p100
        $0.gradients.values[2] = 0x1p100
      },
    ]
    spoilings += spoiledLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: true) {
      $0.weightList
    }
    spoilings += spoiledLists("gradients", SF_OPERAND_GRADIENTS, elementSize: 4, required: false) {
      $0.gradientList
    }
    spoilings += spoiledLists("masks", SF_OPERAND_MASKS, elementSize: 1, required: true) {
      $0.maskList
    }
    spoilings += spoiledLists(
      "masked", SF_OPERAND_MASKED_WEIGHTS, elementSize: 4, required: false
    ) { $0.maskedList }
    for spoiling in spoilings {
      let call = SearchStepCall()
      spoiling.spoil(call)
      let said = outcome { call.make($0) }
      #expect(said.status == spoiling.status, "\(spoiling.what)")
      #expect(said.operand == spoiling.operand, "\(spoiling.what)")
      #expect(said.tensor == spoiling.tensor, "\(spoiling.what)")
      #expect(call.masks.isUnwritten && call.masked.isUnwritten, "\(spoiling.what)")
      #expect(call.report.isUnwritten && call.layerKept.isUnwritten, "\(spoiling.what)")
      #expect(call.taken == 0, "\(spoiling.what)")
    }
  }

  @Test func tamperedMasksAreRefusedAndTheStepMayBeTriedAgain() {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let (masks, masked) = (call.masks.values, call.masked.values)
    call.masks.values[0] = 1
    let said = outcome { call.make($0) }
    #expect(said.status == SF_MASKS_CHANGED)
    #expect(said.count == 4)
    #expect(call.masked.values == masked)
    #expect(call.taken == 1)
    call.masks.values = masks
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.taken == 2)
  }
}

@Suite struct SharedStepFunctionTests {
  @Test func isTheStepWhereTheOthersHoldNothing() {
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
    #expect(call.exchange.value.trouble == 1)
    #expect(call.step.masks.isIntact && call.step.masked.isIntact)
  }

  /// After a sum that failed there is no other.
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
    for alarming in Int64(1)...5 {
      let call = SharedStepCall()
      call.exchange.value.alarming = alarming
      #expect(outcome { call.make($0) }.status == SF_RANK_FAILED)
      #expect(call.exchange.value.calls == alarming)
      #expect(call.step.taken == 0)
      #expect(outcome { call.make($0) }.isOK)
    }
  }

  /// Whatever is refused, the others are told once.
  @Test func whatIsRefusedIsToldToTheOthers() {
    var spoilings: [Spoiling<SharedStepCall>] = [
      Spoiling("arrays null", SF_NULL_POINTER) { $0.step.passesArrays = false },
      Spoiling("arrays misaligned", SF_MISALIGNED) { $0.step.arraysOffset = 4 },
      Spoiling("report null", SF_NULL_POINTER) { $0.step.report.address = 0 },
      Spoiling("no handle", SF_BAD_HANDLE) { $0.step.search = -1 },
      Spoiling("-1 tensors", SF_BAD_COUNT) { $0.step.tensors = -1 },
      Spoiling("too many tensors", SF_BAD_COUNT) { $0.step.tensors = .max },
      Spoiling("no tensors", SF_SIZE_MISMATCH, SF_OPERAND_WEIGHTS) { $0.step.tensors = 0 },
      Spoiling("gradients null", SF_MISSING_GRADIENTS, SF_OPERAND_GRADIENTS) {
        $0.step.gradientList.address = 0
      },
      Spoiling("NaN gradient", SF_NON_FINITE, SF_OPERAND_GRADIENTS, tensor: 1) {
        $0.step.gradients.values[4] = .nan
      },
      Spoiling("starts that descend", SF_BAD_START, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.starts.values = [0, 1]
      },
      Spoiling("a start beyond the end", SF_BAD_START, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.starts.values = [0, 3]
      },
      Spoiling("a negative start", SF_BAD_START, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.starts.values = [.min, 0]
      },
    ]
    spoilings += spoiledLists("weights", SF_OPERAND_WEIGHTS, elementSize: 4, required: true) {
      $0.step.weightList
    }
    for spoiling in spoilings {
      let call = SharedStepCall()
      spoiling.spoil(call)
      let said = outcome { call.make($0) }
      #expect(said.status == spoiling.status, "\(spoiling.what)")
      #expect(said.operand == spoiling.operand, "\(spoiling.what)")
      #expect(said.tensor == spoiling.tensor, "\(spoiling.what)")
      #expect(call.exchange.value.trouble == 1, "\(spoiling.what)")
      #expect(call.step.report.isUnwritten, "\(spoiling.what)")
    }
  }

  /// There is no way to tell the others then.
  @Test func ranksThatCannotBeUsed() {
    let spoilings: [Spoiling<SharedStepCall>] = [
      Spoiling("ranks null", SF_NULL_POINTER) { unsafe $0.ranks.address = 0 },
      Spoiling("ranks misaligned", SF_MISALIGNED) { unsafe $0.ranks.address += 4 },
      Spoiling("sum null", SF_NULL_POINTER) { unsafe $0.ranks.value.sum = nil },
      Spoiling("starts null", SF_NULL_POINTER) { unsafe $0.ranks.value.starts = nil },
      Spoiling("starts misaligned", SF_MISALIGNED) {
        unsafe $0.ranks.value.starts = UnsafePointer(bitPattern: $0.starts.address + 4)
      },
    ]
    for spoiling in spoilings {
      let call = SharedStepCall()
      spoiling.spoil(call)
      #expect(outcome { call.make($0) }.status == spoiling.status, "\(spoiling.what)")
      #expect(call.exchange.isUnwritten && call.step.isUnwritten, "\(spoiling.what)")
    }
  }

  @Test func totalsAndStepsTakenBefore() {
    func created(total: Int64, taken: Int64, tensors: Int64 = 2) -> sf_status {
      let call = SearchCreateCall()
      unsafe call.options.value.total = total
      unsafe call.options.value.taken = taken
      call.tensors = tensors
      let said = outcome { call.make($0) }.status
      #expect((said == SF_OK) != call.isUnwritten)
      return said
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

  /// A step of a shared search needs the others.
  @Test func notAlone() {
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
    func said(_ a: UInt, _ b: UInt, _ c: UInt) -> sf_status {
      withExtendedLifetime((taken, steps, keeps)) {
        outcome {
          unsafe sf_search_state(
            search, UnsafeMutablePointer(bitPattern: a), UnsafeMutablePointer(bitPattern: b),
            UnsafeMutablePointer(bitPattern: c), $0.pointer)
        }.status
      }
    }
    let (a, b, c) = (taken.address, steps.address, keeps.address)
    #expect(said(0, b, c) == SF_NULL_POINTER)
    #expect(said(a, 0, c) == SF_NULL_POINTER)
    #expect(said(a + 4, b, c) == SF_MISALIGNED)
    #expect(said(a, b + 1, c) == SF_MISALIGNED)
    #expect(said(a, b, c + 2) == SF_MISALIGNED)
    #expect(taken.isUnwritten && steps.isUnwritten && keeps.isUnwritten)
    #expect(said(a, b, 0) == SF_OK)
    #expect(taken.values == [0])
    #expect(steps.values == [2])
    #expect(keeps.isUnwritten)
  }
}

@Suite struct SearchReportFunctionTests {
  /// What sf_search_report says of a step, and what it writes.
  private func said(
    _ search: Int64, _ step: Int64, _ report: Cell<sf_report>, _ kept: Memory<Int64>,
    tensors: Int64 = 2
  ) -> Outcome {
    outcome {
      unsafe sf_search_report(search, step, report.pointer, kept.base, tensors, $0.pointer)
    }
  }

  @Test func tellsAgainWhatAStepTold() {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let (report, kept) = (Cell(sf_report()), Memory<Int64>([-1, -1]))
    #expect(said(call.search, 1, report, kept).isOK)
    #expect(report.value.keep == call.report.value.keep)
    #expect(report.value.saliency == call.report.value.saliency)
    #expect(kept.values == call.layerKept.values)
  }

  @Test(arguments: [0, -1, 2, .min, .max] as [Int64])
  func refusesStepsNotTaken(step: Int64) {
    let call = SearchStepCall()
    #expect(outcome { call.make($0) }.isOK)
    let (report, kept) = (Cell(sf_report()), Memory<Int64>([-1, -1]))
    #expect(said(call.search, step, report, kept).status == SF_BAD_STEPS)
    #expect(said(call.search, 1, report, kept, tensors: 3).status == SF_BAD_COUNT)
    #expect(report.isUnwritten && kept.isUnwritten)
  }
}
