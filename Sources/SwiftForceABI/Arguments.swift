// Checks of the arguments of C functions: pointers, counts, types. A valid argument becomes a Swift
// value, an invalid one throws a Fault. What must not live here: anything that reads an element.

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

/// Whether a pointer is aligned to its type. A null pointer is.
func isAligned<T>(_ pointer: UnsafePointer<T>?) -> Bool {
  UInt(bitPattern: pointer) % UInt(MemoryLayout<T>.alignment) == 0
}

func isAligned<T>(_ pointer: UnsafeMutablePointer<T>?) -> Bool {
  unsafe isAligned(UnsafePointer(pointer))
}

/// An input argument, which must not be null.
func required<T>(_ pointer: UnsafePointer<T>?, _ name: String) throws(Fault) -> UnsafePointer<T> {
  guard let pointer = unsafe pointer else { throw .null(name) }
  guard unsafe isAligned(pointer) else {
    throw Fault(SF_MISALIGNED, "\(name) is not aligned to its type")
  }
  return unsafe pointer
}

/// An output argument, which must not be null.
func required<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: String
) throws(Fault) -> UnsafeMutablePointer<T> {
  guard let pointer = unsafe pointer else { throw .null(name) }
  guard unsafe isAligned(pointer) else {
    throw Fault(SF_MISALIGNED, "\(name) is not aligned to its type")
  }
  return unsafe pointer
}

/// An argument that may be null.
func optional<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: String
) throws(Fault) -> UnsafeMutablePointer<T>? {
  guard unsafe pointer != nil else { return nil }
  return unsafe try required(pointer, name)
}

/// A count of at least `least` elements of `size` bytes, which must fit into memory.
func counted(_ count: Int64, atLeast least: Int, size: Int, _ name: String) throws(Fault) -> Int {
  let most = Int.max / 2 / size
  guard count >= Int64(least), count <= Int64(most) else {
    var fault = Fault(SF_BAD_COUNT, "\(name) must be in \(least) ... \(most), not \(count)")
    fault.count = Int(count)
    throw fault
  }
  return Int(count)
}

/// The case of an axis by its number.
func named<Axis: Named>(_ number: Int32, _ axis: Axis.Type) throws(Fault) -> Axis {
  let cases = Array(Axis.allCases)
  guard number >= 0, number < Int32(cases.count) else {
    let word = "\(Axis.self)".lowercased()
    throw Fault(SF_UNKNOWN_NAME, "there is no \(word) number \(number)")
  }
  return cases[Int(number)]
}

/// The checked arrays of one argument, and the memory that they occupy.
@safe struct Arrays {
  /// More tensors than any network has. A larger number is a mistake in the call.
  static let maximumCount = 1 << 24

  let operand: sf_operand
  let isWritten: Bool
  private let arrays: [sf_array]

  /// - Parameters:
  ///   - types: the element types that an array may have.
  ///   - least: the smallest number of tensors.
  init(
    _ list: UnsafePointer<sf_array>?, _ tensors: Int64, _ operand: sf_operand,
    types: [sf_type] = Arrays.floats, isWritten: Bool = false, least: Int64 = 1
  ) throws(Fault) {
    let list = unsafe try required(list, Arrays.name(operand))
    guard tensors >= least, tensors <= Int64(Arrays.maximumCount) else {
      throw Fault(
        SF_BAD_COUNT, "tensors must be in \(least) ... \(Arrays.maximumCount), not \(tensors)")
    }
    self.operand = operand
    self.isWritten = isWritten
    var arrays: [sf_array] = unsafe []
    unsafe arrays.reserveCapacity(Int(tensors))
    for position in 0..<Int(tensors) {
      let array = unsafe list[position]
      unsafe try Arrays.check(array, operand, position, types)
      unsafe arrays.append(array)
    }
    unsafe self.arrays = arrays
  }

  private static func check(
    _ array: sf_array, _ operand: sf_operand, _ position: Int, _ types: [sf_type]
  ) throws(Fault) {
    func fault(_ status: sf_status, _ message: String) -> Fault {
      Fault(
        status, "\(name(operand))[\(position)] \(message)", operand: operand, tensor: position)
    }
    let type = unsafe sf_type(rawValue: UInt32(bitPattern: array.type))
    guard types.contains(type) else {
      throw fault(
        SF_UNSUPPORTED_TYPE, "has the unsupported element type number \(unsafe array.type)")
    }
    let size = size(of: type)
    let count = unsafe array.count
    guard count >= 0, count <= Int64(Int.max / 2 / size) else {
      throw fault(SF_BAD_COUNT, "has an invalid count of \(count)")
    }
    guard count > 0 else { return }
    guard let data = unsafe array.data else { throw fault(SF_NULL_POINTER, "must not be null") }
    let start = UInt(bitPattern: data)
    guard start % UInt(size) == 0 else { throw fault(SF_MISALIGNED, "is not aligned to its type") }
    guard !start.addingReportingOverflow(UInt(count) * UInt(size)).overflow else {
      throw fault(SF_BAD_COUNT, "extends beyond the address space")
    }
  }

  /// The element types of weights, gradients and scores.
  static let floats: [sf_type] = [
    SF_TYPE_FLOAT32, SF_TYPE_FLOAT64, SF_TYPE_FLOAT16, SF_TYPE_BFLOAT16,
  ]

  /// Bytes of one element.
  private static func size(of type: sf_type) -> Int {
    type == SF_TYPE_MASK ? 1 : type == SF_TYPE_INT64 ? 8 : elementType(type).size
  }

  /// The core's name for a type of `floats`.
  private static func elementType(_ type: sf_type) -> ElementType {
    switch type {
    case SF_TYPE_FLOAT64: .float64
    case SF_TYPE_FLOAT16: .float16
    case SF_TYPE_BFLOAT16: .bfloat16
    default: .float32
    }
  }

  static func name(_ operand: sf_operand) -> String {
    switch operand {
    case SF_OPERAND_WEIGHTS: "weights"
    case SF_OPERAND_GRADIENTS: "gradients"
    case SF_OPERAND_SCORES: "scores"
    case SF_OPERAND_MASKS: "masks"
    case SF_OPERAND_MASKED_WEIGHTS: "masked weights"
    case SF_OPERAND_INPUTS: "inputs"
    case SF_OPERAND_LABELS: "labels"
    case SF_OPERAND_ROWS: "rows"
    case SF_OPERAND_LOGITS: "logits"
    case SF_OPERAND_ACCUMULATED: "accumulated"
    default: "parameters"
    }
  }

  /// The address of an array. An empty array may have any address, since nothing is read there.
  private static func data(_ array: sf_array) -> UnsafeMutableRawPointer {
    unsafe array.data ?? emptyAddress
  }

  private nonisolated(unsafe) static let emptyAddress = UnsafeMutableRawPointer.allocate(
    byteCount: 8, alignment: 8)

  var count: Int { unsafe arrays.count }

  /// The elements of all arrays; no more than memory can hold, or the regions would overlap.
  var elements: Int {
    unsafe arrays.reduce(0) { unsafe $0.addingReportingOverflow(Int($1.count)).partialValue }
  }

  /// The elements of each array.
  var sizes: [Int] { unsafe arrays.map { unsafe Int($0.count) } }

  /// The bytes of all arrays.
  var bytes: Int {
    unsafe arrays.reduce(0) { total, array in
      let size = Arrays.size(of: unsafe sf_type(rawValue: UInt32(bitPattern: array.type)))
      return total.addingReportingOverflow(unsafe Int(array.count) * size).partialValue
    }
  }

  var tensors: [Tensor] {
    unsafe arrays.map { array in
      let type = unsafe Arrays.elementType(sf_type(rawValue: UInt32(bitPattern: array.type)))
      return unsafe Tensor(Arrays.data(array), count: Int(array.count), type: type)
    }
  }

  var mutableTensors: [MutableTensor] {
    unsafe arrays.map { array in
      let type = unsafe Arrays.elementType(sf_type(rawValue: UInt32(bitPattern: array.type)))
      return unsafe MutableTensor(Arrays.data(array), count: Int(array.count), type: type)
    }
  }

  var masks: [Mask] {
    unsafe arrays.map { array in
      unsafe Mask(
        Arrays.data(array).assumingMemoryBound(to: UInt8.self), count: Int(array.count))
    }
  }

  /// Views of arrays of binary32.
  var vectors: [Vector<Float>] {
    unsafe arrays.map { array in
      unsafe Vector(
        Arrays.data(array).assumingMemoryBound(to: Float.self), count: Int(array.count))
    }
  }

  /// Views of masks to be written.
  var writableMasks: [Vector<UInt8>] {
    unsafe arrays.map { array in
      unsafe Vector(
        Arrays.data(array).assumingMemoryBound(to: UInt8.self), count: Int(array.count))
    }
  }

  /// The memory of each array that is not empty.
  var regions: [Region] {
    var regions: [Region] = []
    regions.reserveCapacity(count)
    appendRegions(to: &regions)
    return regions
  }

  func appendRegions(to regions: inout [Region]) {
    for position in unsafe arrays.indices where unsafe arrays[position].count > 0 {
      let array = unsafe arrays[position]
      let size = Arrays.size(of: unsafe sf_type(rawValue: UInt32(bitPattern: array.type)))
      let start = unsafe UInt(bitPattern: array.data)
      regions.append(
        Region(
          start: start, end: start + UInt(unsafe array.count) * UInt(size), operand: operand,
          tensor: position, isWritten: isWritten))
    }
  }
}
