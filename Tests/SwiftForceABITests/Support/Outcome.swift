// The outcome of a call: its status and its error record, which must agree for every call. What
// must not live here: particular calls.

import CSwiftForce
import Testing

struct Outcome {
  let status: sf_status
  let operand: sf_operand
  let tensor: Int64
  let index: Int64
  let count: Int64
  let value: Double
  let message: String

  var isOK: Bool { status == SF_OK }
}

/// A record filled with garbage.
func garbageError() -> sf_error {
  var error = sf_error()
  unsafe withUnsafeMutableBytes(of: &error) { bytes in
    for i in bytes.indices { unsafe bytes[i] = 0xA5 }
  }
  return error
}

/// The error argument of a call: the address of a record, or null.
@safe struct Slot {
  static var null: Slot { Slot(address: 0) }

  let address: UInt

  var pointer: UnsafeMutablePointer<sf_error>? { unsafe UnsafeMutablePointer(bitPattern: address) }
}

/// Makes a call with a record that holds garbage, and returns its outcome.
func outcome(
  _ call: (Slot) -> Int32, location: SourceLocation = #_sourceLocation
) -> Outcome {
  let record = Cell(garbageError())
  let returned = call(Slot(address: record.address))
  var error = record.value
  let bytes = unsafe withUnsafeBytes(of: &error.message) { unsafe Array($0) }
  #expect(returned == error.status, sourceLocation: location)
  #expect(bytes.last == 0, "the message is not terminated", sourceLocation: location)
  let message = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  #expect(message.isEmpty == (returned == 0), sourceLocation: location)
  return Outcome(
    status: sf_status(rawValue: UInt32(bitPattern: error.status)),
    operand: sf_operand(rawValue: UInt32(bitPattern: error.operand)), tensor: error.tensor,
    index: error.index, count: error.count, value: error.value, message: message)
}

/// The number that a call returns for a status.
func code(_ status: sf_status) -> Int32 { Int32(bitPattern: status.rawValue) }

/// The position of a name among those of an axis.
func number(_ name: String, _ axis: sf_axis) -> Int32 {
  Int32(names(axis).firstIndex(of: name) ?? -1)
}

/// The names of an axis.
func names(_ axis: sf_axis) -> [String] {
  let text = Memory<CChar>([CChar](repeating: 1, count: 200), guardedBy: 9)
  let result = outcome { unsafe sf_names(code(axis), text.base, 200, $0.pointer) }
  #expect(result.isOK)
  let bytes = text.values.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
  return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
}

func code(_ axis: sf_axis) -> Int32 { Int32(bitPattern: axis.rawValue) }
