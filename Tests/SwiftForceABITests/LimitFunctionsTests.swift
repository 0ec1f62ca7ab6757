// sf_allocate and sf_bounds_range: what they compute, and every argument that they refuse.

import CSwiftForce
import Testing

/// Both calls, with tensors of ten and thirty weights.
@safe private final class LimitCall {
  let sizes = Memory<Int64>([10, 30])
  let ends = Memory<Int64>([7, 13])
  let bounds = Cell((sf_bounds.none, sf_bounds.none))
  let first = Memory<Int64>([-1, -1])
  let second = Memory<Int64>([-1, -1])
  var allocation = number("uniform", SF_AXIS_ALLOCATION)
  var sizesAddress: UInt
  var endsAddress: UInt
  var firstAddress: UInt
  var secondAddress: UInt
  var tensors: Int64 = 2
  var keep: Int64 = 20

  init() {
    (sizesAddress, endsAddress) = (sizes.address, ends.address)
    (firstAddress, secondAddress) = (first.address, second.address)
  }

  func allocate(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_allocate(
        allocation, UnsafePointer(bitPattern: sizesAddress),
        UnsafePointer(bitPattern: endsAddress), UnsafePointer(bitPattern: bounds.address), tensors,
        keep, UnsafeMutablePointer(bitPattern: firstAddress), error.pointer)
    }
  }

  func range(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_bounds_range(
        UnsafePointer(bitPattern: sizesAddress), UnsafePointer(bitPattern: bounds.address), tensors,
        UnsafeMutablePointer(bitPattern: firstAddress),
        UnsafeMutablePointer(bitPattern: secondAddress), error.pointer)
    }
  }

  var isUnwritten: Bool { first.isUnwritten && second.isUnwritten }
}

@Suite struct LimitFunctionsTests {
  /// What both calls refuse.
  private static var invalidCalls: [InvalidCall<LimitCall>] {
    [
      InvalidCall("sizes null", SF_NULL_POINTER) { $0.sizesAddress = 0 },
      InvalidCall("sizes misaligned", SF_MISALIGNED) { $0.sizesAddress += 4 },
      InvalidCall("bounds misaligned", SF_MISALIGNED) { $0.bounds.address += 1 },
      InvalidCall("first null", SF_NULL_POINTER) { $0.firstAddress = 0 },
      InvalidCall("first misaligned", SF_MISALIGNED) { $0.firstAddress += 2 },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      InvalidCall("a negative size", SF_BAD_COUNT) { $0.sizes.values = [10, -1] },
      InvalidCall("sizes that overflow", SF_BAD_COUNT) { $0.sizes.values = [.max, .max] },
      InvalidCall("a floor of -1", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.bounds.value.1.least = -1
      },
      InvalidCall("a floor above a cap", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        ($0.bounds.value.0.least, $0.bounds.value.0.most) = (5, 4)
      },
      InvalidCall("outputs that do not divide", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.bounds.value.1.outputs = 7
      },
      InvalidCall("outputs beyond all numbers", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        $0.bounds.value.1.outputs = .max
      },
      InvalidCall("runs that do not divide", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 1) {
        ($0.bounds.value.1.outputs, $0.bounds.value.1.inner) = (3, 4)
      },
      InvalidCall("groups below 0", SF_BAD_BOUNDS, SF_OPERAND_WEIGHTS, tensor: 0) {
        $0.bounds.value.0.group = .min
      },
    ]
  }

  private func check(
    _ invalidCalls: [InvalidCall<LimitCall>], _ body: (LimitCall, Slot) -> Int32
  ) {
    for invalid in invalidCalls {
      let call = LimitCall()
      invalid.mutate(call)
      let result = outcome { body(call, $0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == invalid.operand, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.isUnwritten, "\(invalid.what)")
    }
  }

  @Test func allocates() {
    let call = LimitCall()
    #expect(outcome { call.allocate($0) }.isOK)
    #expect(call.first.values == [5, 15])
    call.allocation = number("erk", SF_AXIS_ALLOCATION)
    #expect(outcome { call.allocate($0) }.isOK)
    #expect(call.first.values == [7, 13])
    call.bounds.value.0.most = 4
    #expect(outcome { call.allocate($0) }.isOK)
    #expect(call.first.values == [4, 16])
    call.bounds.address = 0
    #expect(outcome { call.allocate($0) }.isOK)
    #expect(call.first.values == [7, 13])
    #expect(call.first.isIntact && call.sizes.isUnwritten && call.ends.isUnwritten)
  }

  @Test func allocationsThatAreRefused() {
    check(
      Self.invalidCalls + [
        InvalidCall("ends null", SF_NULL_POINTER) { $0.endsAddress = 0 },
        InvalidCall("ends misaligned", SF_MISALIGNED) { $0.endsAddress += 4 },
        InvalidCall("allocation -1", SF_UNKNOWN_NAME) { $0.allocation = -1 },
        InvalidCall("allocation 3", SF_UNKNOWN_NAME) { $0.allocation = 3 },
        InvalidCall("global", SF_UNKNOWN_NAME) {
          $0.allocation = number("global", SF_AXIS_ALLOCATION)
        },
        InvalidCall("keep 0", SF_BAD_KEEP) { $0.keep = 0 },
        InvalidCall("keep 41", SF_BAD_KEEP) { $0.keep = 41 },
        InvalidCall("caps below keep", SF_BAD_BOUNDS) {
          ($0.bounds.value.0.most, $0.bounds.value.1.most) = (9, 10)
        },
        InvalidCall("floors above keep", SF_BAD_BOUNDS) {
          $0.bounds.value.1.least = 21
        },
      ]
    ) { $0.allocate($1) }
  }

  @Test func ranges() {
    let call = LimitCall()
    call.bounds.value.0 = sf_bounds(
      least: 1, most: .max, outputs: 2, inner: 5, least_per_output: 2, most_per_output: 4, group: 2,
      most_per_group: 1)
    #expect(outcome { call.range($0) }.isOK)
    #expect(call.first.values == [4, 0])
    #expect(call.second.values == [6, 30])
    #expect(call.first.isIntact && call.second.isIntact)
  }

  @Test func rangesThatAreRefused() {
    check(
      Self.invalidCalls + [
        InvalidCall("bounds null", SF_NULL_POINTER) { $0.bounds.address = 0 },
        InvalidCall("most null", SF_NULL_POINTER) { $0.secondAddress = 0 },
        InvalidCall("most misaligned", SF_MISALIGNED) { $0.secondAddress += 4 },
      ]
    ) { $0.range($1) }
  }
}
