// Calls with one invalid argument each, and the status that each must give. What must not live
// here: the valid calls that are changed.

import CSwiftForce
import Testing

/// A change that makes a valid call invalid, and the error that the call must give then.
struct InvalidCall<Call> {
  let what: String
  let status: sf_status
  var operand = SF_OPERAND_NONE
  var tensor: Int64 = -1
  let mutate: (Call) -> Void

  init(
    _ what: String, _ status: sf_status, _ operand: sf_operand = SF_OPERAND_NONE,
    tensor: Int64 = -1, _ mutate: @escaping (Call) -> Void
  ) {
    self.what = what
    self.status = status
    self.operand = operand
    self.tensor = tensor
    self.mutate = mutate
  }
}

/// All that may be wrong with a list of two arrays, the second of which is not empty.
func invalidLists<Call>(
  _ name: String, _ operand: sf_operand, elementSize: UInt, required: Bool,
  _ list: @escaping (Call) -> ArrayList
) -> [InvalidCall<Call>] {
  var all: [InvalidCall<Call>] = [
    InvalidCall("\(name) misaligned", SF_MISALIGNED) { list($0).address += 4 },
    InvalidCall("\(name)[1] null", SF_NULL_POINTER, operand, tensor: 1) { list($0).setData(1, 0) },
    InvalidCall("\(name)[0] negative", SF_BAD_COUNT, operand, tensor: 0) {
      list($0).setCount(0, -1)
    },
    InvalidCall("\(name)[1] least", SF_BAD_COUNT, operand, tensor: 1) {
      list($0).setCount(1, .min)
    },
    InvalidCall("\(name)[1] huge", SF_BAD_COUNT, operand, tensor: 1) { list($0).setCount(1, .max) },
    InvalidCall("\(name)[1] to the end of memory", SF_BAD_COUNT, operand, tensor: 1) {
      list($0).setData(1, UInt.max - 7)
      list($0).setCount(1, 1 << 20)
    },
    InvalidCall("\(name)[1] of type 6", SF_UNSUPPORTED_TYPE, operand, tensor: 1) {
      list($0).setType(1, 6)
    },
    InvalidCall("\(name)[0] of type -1", SF_UNSUPPORTED_TYPE, operand, tensor: 0) {
      list($0).setType(0, -1)
    },
    InvalidCall("\(name)[1] of the other type", SF_UNSUPPORTED_TYPE, operand, tensor: 1) {
      list($0).setType(1, elementSize == 1 ? 0 : 4)
    },
    InvalidCall("\(name)[1] shorter", SF_SIZE_MISMATCH, operand, tensor: 1) {
      list($0).setCount(1, 1)
    },
  ]
  if required {
    all.append(InvalidCall("\(name) null", SF_NULL_POINTER) { list($0).address = 0 })
  }
  if elementSize > 1 {
    all.append(
      InvalidCall("\(name)[1] misaligned", SF_MISALIGNED, operand, tensor: 1) {
        list($0).setData(1, list($0).data(1) + 1)
      })
  }
  return all
}

/// Makes every invalid call and expects that it is refused and writes nothing.
func expectRefusals(
  _ invalidCalls: [InvalidCall<NetworkCall>], _ body: (NetworkCall) -> (Slot) -> Int32
) {
  for invalid in invalidCalls {
    let call = NetworkCall()
    let before = call.parameterBits
    invalid.mutate(call)
    let inputs = (call.inputs.values, call.labels.values, call.rows.values)
    let result = outcome { body(call)($0) }
    #expect(result.status == invalid.status, "\(invalid.what)")
    #expect(result.operand == invalid.operand, "\(invalid.what)")
    #expect(result.tensor == invalid.tensor, "\(invalid.what)")
    #expect(call.gradients.isUnwritten && call.logits.isUnwritten, "\(invalid.what)")
    #expect(call.result.isUnwritten && call.weights.isUnwritten, "\(invalid.what)")
    #expect(call.parameterBits == before, "\(invalid.what)")
    #expect(inputs == (call.inputs.values, call.labels.values, call.rows.values))
  }
}
