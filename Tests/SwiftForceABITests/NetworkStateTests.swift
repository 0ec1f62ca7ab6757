// The state of a network: holds of its parameters, their copy, their magnitudes, the masks applied.
// What must not live here: what the engine computes with them.

import CSwiftForce
import Testing

@Suite struct NetworkStateTests {
  @Test func holdsAreCountedAndIndicesChecked() {
    let call = NetworkCall()
    var parameter = unsafe sf_parameter()
    for number in [-1, 4, .min, .max] as [Int64] {
      let hold = outcome { unsafe sf_network_hold(call.network, number, &parameter, $0.pointer) }
      #expect(hold.status == SF_BAD_COUNT)
      let end = outcome { unsafe sf_network_end_hold(call.network, number, $0.pointer) }
      #expect(end.status == SF_BAD_COUNT)
    }
    for _ in 0..<2 {
      #expect(outcome { unsafe sf_network_hold(call.network, 3, &parameter, $0.pointer) }.isOK)
    }
    for _ in 0..<2 {
      #expect(outcome { unsafe sf_network_end_hold(call.network, 3, $0.pointer) }.isOK)
    }
    #expect(unsafe UInt(bitPattern: parameter.data) == call.parameters[3].address)
  }

  @Test func theCopyIsPutBack() {
    let call = NetworkCall()
    let before = call.parameterBits
    #expect(outcome { unsafe sf_network_restore(call.network, $0.pointer) }.isOK)
    #expect(outcome { unsafe sf_network_remember(call.network, $0.pointer) }.isOK)
    #expect(outcome { call.train($0) }.isOK)
    #expect(call.parameterBits != before)
    #expect(outcome { unsafe sf_network_restore(call.network, $0.pointer) }.isOK)
    #expect(call.parameterBits == before)
    #expect(outcome { unsafe sf_network_forget(call.network, $0.pointer) }.isOK)
    #expect(outcome { call.train($0) }.isOK)
    let after = call.parameterBits
    #expect(outcome { unsafe sf_network_restore(call.network, $0.pointer) }.isOK)
    #expect(call.parameterBits == after)
  }

  @Test func magnitudesAreThoseOfTheParameters() {
    let call = NetworkCall()
    let magnitudes = Memory<Double>([Double](repeating: -9, count: 4), guardedBy: -5)
    func result(_ count: Int64, offset: UInt = 0) -> sf_status {
      withExtendedLifetime((call, magnitudes)) {
        outcome {
          unsafe sf_network_magnitudes(
            call.network, UnsafeMutablePointer(bitPattern: magnitudes.address + offset), count,
            $0.pointer)
        }.status
      }
    }
    for count in [3, 5, 0, -1, .max] as [Int64] { #expect(result(count) == SF_BAD_COUNT) }
    #expect(result(4, offset: 4) == SF_MISALIGNED)
    #expect(magnitudes.isUnwritten)
    #expect(result(4) == SF_OK)
    let values = call.parameterBits.map { Double(Float(bitPattern: $0).magnitude) }
    let expected = [0..<6, 6..<9, 9..<15, 15..<17].map { values[$0].max() ?? -1 }
    #expect(magnitudes.values == expected)
  }

  @Test func masksAreThoseThatWereApplied() {
    let call = NetworkCall()
    let found = Memory<UInt8>([UInt8](repeating: 7, count: 12))
    let list = ArrayList(found.address, sizes: [6, 6], type: SF_TYPE_MASK)
    let applied = Cell<Int32>(-1)
    func result(_ tensors: Int64 = 2) -> sf_status {
      withExtendedLifetime((call, list, found)) {
        outcome {
          unsafe sf_network_masks(
            call.network, list.pointer, tensors, applied.pointer, $0.pointer)
        }.status
      }
    }
    #expect(result(1) == SF_SIZE_MISMATCH)
    #expect(result(0) == SF_BAD_COUNT)
    #expect(found.isUnwritten && applied.isUnwritten)
    #expect(result() == SF_OK)
    #expect(applied.value == 0)
    #expect(found.isUnwritten)
    #expect(outcome { call.apply($0) }.isOK)
    #expect(result() == SF_OK)
    #expect(applied.value == 1)
    #expect(found.values == call.masks.values)
  }
}
