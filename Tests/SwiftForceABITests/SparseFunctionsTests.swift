// sf_sparse_*: what they compute, and every argument that they refuse.

import CSwiftForce
import Testing

/// A linear layer of 3 inputs and 2 outputs that keeps w[0, 2] = 2, w[1, 0] = 3 and w[1, 1] = 5, for
/// 16 samples.
@safe private final class SparseCall {
  static let ones = [Float](repeating: 1, count: 16)

  var sizes = sf_sparse_sizes(
    inputs: 3, outputs: 2, rows: sf_side(inputs: 1, kernel: 1, stride: 1, padding: 0),
    columns: sf_side(inputs: 1, kernel: 1, stride: 1, padding: 0))
  let mask = Memory<UInt8>([0, 0, 1, 1, 1, 0])
  /// x = (1, 10, 100) for each sample.
  let source = Memory<Float>(ones + ones.map { 10 * $0 } + ones.map { 100 * $0 })
  let values = Memory<Float>([2, 3, 5])
  let bias = Memory<Float>([1, 2])
  let output = Memory<Float>([Float](repeating: 7, count: 32))
  let gradients = [48, 3, 2].map { Memory<Float>([Float](repeating: 7, count: $0)) }
  let handle = Cell<Int64>(0)
  let limit = Cell<Int32>(-1)
  let maskList: ArrayList
  let lists: [ArrayList]
  let gradientLists: [ArrayList]
  var samples: Int64 = 16
  var isBackward = false

  init() {
    maskList = ArrayList(mask.address, sizes: [6], type: SF_TYPE_MASK)
    lists = [source, values, bias, output].map {
      ArrayList($0.address, sizes: [$0.original.count], type: SF_TYPE_FLOAT32)
    }
    gradientLists = gradients.map {
      ArrayList($0.address, sizes: [$0.original.count], type: SF_TYPE_FLOAT32)
    }
  }

  deinit { if handle.value > 0 { _ = sf_sparse_release(handle.value, nil) } }

  var isUnwritten: Bool { ([output] + gradients).allSatisfy { $0.isUnwritten } }

  func measure(_ error: Slot) -> Int32 {
    unsafe sf_sparse_limit(&sizes, limit.pointer, error.pointer)
  }

  func create(_ error: Slot) -> Int32 {
    unsafe sf_sparse_create(&sizes, maskList.pointer, handle.pointer, error.pointer)
  }

  func run(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      var arrays = unsafe sf_sparse_arrays()
      unsafe arrays.samples = samples
      unsafe arrays.source = lists[0].pointer
      unsafe arrays.values = lists[1].pointer
      unsafe arrays.bias = isBackward ? nil : lists[2].pointer
      unsafe arrays.output = lists[3].pointer
      if isBackward {
        unsafe arrays.gradients = (
          gradientLists[0].pointer, gradientLists[1].pointer, gradientLists[2].pointer
        )
        return unsafe sf_sparse_backward(handle.value, &arrays, error.pointer)
      }
      return unsafe sf_sparse_forward(handle.value, &arrays, error.pointer)
    }
  }
}

@Suite struct SparseFunctionTests {
  @Test func computesOutputs() {
    let call = SparseCall()
    #expect(outcome { call.create($0) }.isOK)
    #expect(outcome { call.run($0) }.isOK)
    #expect(
      call.output.values == SparseCall.ones.map { 201 * $0 } + SparseCall.ones.map { 55 * $0 })
    #expect(call.output.isIntact)
    call.lists[2].address = 0
    #expect(outcome { call.run($0) }.isOK)
    #expect(
      call.output.values == SparseCall.ones.map { 200 * $0 } + SparseCall.ones.map { 53 * $0 })
  }

  @Test func computesOutputsOfOneSample() {
    let call = SparseCall()
    call.samples = 1
    call.source.values = [1, 10, 100]
    for (list, count) in zip(call.lists, [3, 3, 2, 2] as [Int64]) { list.setCount(0, count) }
    #expect(outcome { call.create($0) }.isOK)
    #expect(outcome { call.run($0) }.isOK)
    #expect(Array(call.output.values[0..<3]) == [201, 55, 7])
  }

  @Test func computesGradients() {
    let call = SparseCall()
    call.isBackward = true
    call.output.values = SparseCall.ones + SparseCall.ones.map { 2 * $0 }
    #expect(outcome { call.create($0) }.isOK)
    #expect(outcome { call.run($0) }.isOK)
    let expected: [[Float]] = [
      SparseCall.ones.map { 6 * $0 } + SparseCall.ones.map { 10 * $0 }
        + SparseCall.ones.map { 2 * $0 },
      [1600, 32, 320], [16, 32],
    ]
    for (found, values) in zip(call.gradients, expected) {
      #expect(found.values == values && found.isIntact)
    }
    #expect(call.output.isIntact && call.source.isUnwritten && call.values.isUnwritten)
  }

  @Test func gradientsThatAreNotWantedAreNotWritten() {
    let call = SparseCall()
    call.isBackward = true
    for list in call.gradientLists { list.address = 0 }
    #expect(outcome { call.create($0) }.isOK)
    #expect(outcome { call.run($0) }.isOK)
    #expect(call.isUnwritten)
  }

  @Test func saysWhenItIsFaster() {
    let call = SparseCall()
    #expect(outcome { call.measure($0) }.isOK)
    #expect(call.limit.value == 350)
    call.sizes.inputs = 1 << 31
    #expect(outcome { call.measure($0) }.isOK)
    #expect(call.limit.value == 0)
  }

  @Test func badSizesAreRefused() {
    let changes: [(sf_status, (SparseCall) -> Void)] = [
      (SF_BAD_COUNT, { $0.sizes.inputs = 0 }), (SF_BAD_COUNT, { $0.sizes.outputs = -1 }),
      (SF_BAD_COUNT, { $0.sizes.inputs = .max }), (SF_BAD_COUNT, { $0.sizes.rows.kernel = 0 }),
      (SF_BAD_COUNT, { $0.sizes.columns.stride = 0 }),
      (SF_BAD_COUNT, { $0.sizes.rows.padding = -1 }),
      (SF_BAD_COUNT, { $0.sizes.rows.inputs = .max }),
      (SF_BAD_ARCHITECTURE, { $0.sizes.rows.padding = 1 }),
      (SF_BAD_ARCHITECTURE, { $0.sizes.columns.kernel = 2 }),
      (SF_BAD_ARCHITECTURE, { $0.sizes.inputs = 1 << 31 }),
      (SF_SIZE_MISMATCH, { $0.sizes.inputs = 4 }),
      (SF_SIZE_MISMATCH, { $0.maskList.setCount(0, 5) }),
      (SF_UNSUPPORTED_TYPE, { $0.maskList.setType(0, 0) }),
      (SF_NULL_POINTER, { $0.maskList.address = 0 }), (SF_NULL_POINTER, { $0.handle.address = 0 }),
    ]
    for (number, (status, change)) in changes.enumerated() {
      let call = SparseCall()
      change(call)
      #expect(outcome { call.create($0) }.status == status, "change \(number)")
      #expect(call.handle.isUnwritten)
    }
  }

  @Test(arguments: [false, true])
  func badArraysAreRefusedAndNothingIsWritten(isBackward: Bool) {
    var changes: [(sf_status, (SparseCall) -> Void)] = [
      (SF_BAD_COUNT, { $0.samples = 0 }), (SF_BAD_COUNT, { $0.samples = 17 }),
      (SF_BAD_COUNT, { $0.samples = .max }), (SF_SIZE_MISMATCH, { $0.samples = 32 }),
      (SF_BAD_HANDLE, { $0.handle.value = 0 }),
      (SF_OVERLAP, { $0.lists[isBackward ? 1 : 3].setData(0, $0.source.address) }),
    ]
    if isBackward {
      changes.removeLast()
      changes += [
        (SF_BAD_COUNT, { $0.samples = 1 }),
        (SF_OVERLAP, { $0.gradientLists[0].setData(0, $0.source.address) }),
      ]
      for place in 0..<3 {
        changes.append((SF_SIZE_MISMATCH, { $0.gradientLists[place].setCount(0, 1) }))
      }
    }
    for place in [0, 1, 3] {
      changes += [
        (SF_NULL_POINTER, { $0.lists[place].address = 0 }),
        (SF_SIZE_MISMATCH, { $0.lists[place].setCount(0, 1) }),
        (SF_UNSUPPORTED_TYPE, { $0.lists[place].setType(0, 1) }),
        (SF_NULL_POINTER, { $0.lists[place].setData(0, 0) }),
      ]
    }
    for (number, (status, change)) in changes.enumerated() {
      let call = SparseCall()
      call.isBackward = isBackward
      #expect(outcome { call.create($0) }.isOK)
      let handle = call.handle.value
      change(call)
      #expect(outcome { call.run($0) }.status == status, "change \(number)")
      #expect(call.isUnwritten, "change \(number)")
      call.handle.value = handle
    }
  }
}
