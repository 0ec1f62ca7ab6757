// sf_scan, the scan of the benchmarks: what it computes, and every argument that it refuses.

import CSwiftForce
import Testing

/// sf_scan: 3 1 | 2 5 4 in two tensors.
@safe private final class ReadCall {
  let values = Memory<Float>([3, 1, 2, 5, 4])
  let parity = Memory<UInt64>([9], guardedBy: 6)
  let list: ArrayList
  var tensors: Int64 = 2
  var parityAddress: UInt

  init() {
    list = ArrayList(values.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    parityAddress = parity.address
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_scan(
        list.pointer, tensors, UnsafeMutablePointer(bitPattern: parityAddress), error.pointer)
    }
  }
}

@Suite struct ReadFunctionTests {
  @Test func reads() {
    let call = ReadCall()
    #expect(outcome { call.make($0) }.isOK)
    func word(_ low: Float, _ high: Float) -> UInt64 {
      UInt64(low.bitPattern) | UInt64(high.bitPattern) << 32
    }
    #expect(call.parity.values == [word(3, 1) ^ word(2, 5) ^ word(4, 0)])
    #expect(call.parity.isIntact && call.values.isUnwritten)
  }

  /// An empty array may have any address.
  @Test(arguments: [0, 1, 3] as [UInt])
  func emptyArraysMayHaveAnyAddress(address: UInt) {
    let call = ReadCall()
    call.list.setCount(1, 0)
    call.list.setData(1, address)
    #expect(outcome { call.make($0) }.isOK)
    call.list.setCount(0, 0)
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.parity.values == [0])
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<ReadCall>] = [
      InvalidCall("parity null", SF_NULL_POINTER) { $0.parityAddress = 0 },
      InvalidCall("parity misaligned", SF_MISALIGNED) { $0.parityAddress += 4 },
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("too many tensors", SF_BAD_COUNT) { $0.tensors = .max },
      InvalidCall("integers", SF_UNSUPPORTED_TYPE, tensor: 1) { $0.list.setType(1, 5) },
    ]
    // Masks are allowed as well, and there is no other list to differ from in length.
    invalidCalls += invalidLists("arrays", SF_OPERAND_NONE, elementSize: 4, required: true) {
      $0.list
    }.filter { !$0.what.contains("shorter") && !$0.what.contains("the other type") }
    for invalid in invalidCalls {
      let call = ReadCall()
      invalid.mutate(call)
      let result = outcome { call.make($0) }
      #expect(result.status == invalid.status, "\(invalid.what)")
      #expect(result.operand == SF_OPERAND_NONE, "\(invalid.what)")
      #expect(result.tensor == invalid.tensor, "\(invalid.what)")
      #expect(call.parity.isUnwritten, "\(invalid.what)")
    }
  }
}
