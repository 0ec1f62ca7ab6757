// Exported: a masked layer by itself. What must not live here: networks (NetworkFunctions.swift).

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

private let operations = Handles<SparseOperation<Float>>("sparse operation")

@_cdecl("sf_sparse_limit")
public func sparseLimit(
  _ sizes: UnsafePointer<sf_sparse_sizes>?, _ limit: UnsafeMutablePointer<Int32>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let sizes = unsafe try checkedSizes(sizes)
    let limit = unsafe try required(limit, "limit")
    let density = try mappingErrors { () throws(SFError) in try sizes.densityLimit() }
    unsafe limit.pointee = Int32((1000 * density).rounded())
  }
}

@_cdecl("sf_sparse_create")
public func sparseCreate(
  _ sizes: UnsafePointer<sf_sparse_sizes>?, _ mask: UnsafePointer<sf_array>?,
  _ operation: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: CallMemory.arguments + operations.growth) { () throws(Fault) in
    let sizes = unsafe try checkedSizes(sizes)
    guard sizes.isSupported else {
      throw Fault(SF_BAD_ARCHITECTURE, "the layer is too large for 32-bit offsets")
    }
    let masks = unsafe try Arrays(mask, 1, SF_OPERAND_MASKS, types: [SF_TYPE_MASK])
    let handle = unsafe try required(operation, "operation")
    try holding(sizes.tables) { () throws(Fault) in
      let created = try mappingErrors { () throws(SFError) in
        try SparseOperation<Float>(mask: masks.writableMasks[0], sizes)
      }
      unsafe handle.pointee = operations.add(created)
    }
  }
}

@_cdecl("sf_sparse_forward")
public func sparseForward(
  _ operation: Int64, _ arrays: UnsafePointer<sf_sparse_arrays>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: CallMemory.bound) { () throws(Fault) in
    let given = unsafe try required(arrays, "arrays").pointee
    let read = unsafe try ReadArrays(given)
    let bias =
      unsafe given.bias == nil
      ? nil : try Arrays(given.bias, 1, SF_OPERAND_WEIGHTS, types: [SF_TYPE_FLOAT32])
    let output = unsafe try Arrays(
      given.output, 1, SF_OPERAND_LOGITS, types: [SF_TYPE_FLOAT32], isWritten: true)
    guard unsafe given.gradients == (nil, nil, nil) else {
      throw Fault(SF_BAD_COUNT, "a forward pass has no gradients")
    }
    try Region.checkDisjoint([read.source, read.values, bias, output])
    try operations[operation].use { (operation) throws(Fault) in
      try mappingErrors { () throws(SFError) in
        try operation.forward(
          samples: read.samples, read.source.vectors[0], values: read.values.vectors[0],
          bias: bias?.vectors[0], into: output.vectors[0])
      }
    }
  }
}

@_cdecl("sf_sparse_backward")
public func sparseBackward(
  _ operation: Int64, _ arrays: UnsafePointer<sf_sparse_arrays>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: CallMemory.bound) { () throws(Fault) in
    let given = unsafe try required(arrays, "arrays").pointee
    let read = unsafe try ReadArrays(given)
    let output = unsafe try Arrays(
      given.output, 1, SF_OPERAND_GRADIENTS, types: [SF_TYPE_FLOAT32])
    guard unsafe given.bias == nil else {
      throw Fault(SF_BAD_COUNT, "a backward pass does not read the bias")
    }
    let source = unsafe try written(given.gradients.0)
    let values = unsafe try written(given.gradients.1)
    let bias = unsafe try written(given.gradients.2)
    try Region.checkDisjoint([read.source, read.values, output, source, values, bias])
    try operations[operation].use { (operation) throws(Fault) in
      try mappingErrors { () throws(SFError) in
        try operation.backward(
          samples: read.samples, read.source.vectors[0], values: read.values.vectors[0],
          .init(
            output: output.vectors[0], source: source?.vectors[0], values: values?.vectors[0],
            bias: bias?.vectors[0]))
      }
    }
  }
}

@_cdecl("sf_sparse_release")
public func sparseRelease(_ operation: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in try operations.release(operation) }
}

/// What both directions read.
private struct ReadArrays {
  let samples: Int
  let source: Arrays
  let values: Arrays

  init(_ given: sf_sparse_arrays) throws(Fault) {
    samples = try counted(unsafe given.samples, atLeast: 1, size: 1 << 33, "samples")
    source = unsafe try Arrays(given.source, 1, SF_OPERAND_INPUTS, types: [SF_TYPE_FLOAT32])
    values = unsafe try Arrays(given.values, 1, SF_OPERAND_WEIGHTS, types: [SF_TYPE_FLOAT32])
  }
}

private func written(_ gradient: UnsafePointer<sf_array>?) throws(Fault) -> Arrays? {
  guard unsafe gradient != nil else { return nil }
  return unsafe try Arrays(
    gradient, 1, SF_OPERAND_GRADIENTS, types: [SF_TYPE_FLOAT32], isWritten: true)
}

private func checkedSizes(
  _ sizes: UnsafePointer<sf_sparse_sizes>?
) throws(Fault) -> SparseSizes {
  let given = unsafe try required(sizes, "sizes").pointee
  return SparseSizes(
    inputs: try counted(given.inputs, atLeast: 1, size: 1 << 20, "inputs"),
    outputs: try counted(given.outputs, atLeast: 1, size: 1 << 20, "outputs"),
    rows: try side(given.rows, "rows"), columns: try side(given.columns, "columns"))
}

private func side(_ given: sf_side, _ name: String) throws(Fault) -> ConvolutionSide {
  let kernel = try counted(given.kernel, atLeast: 1, size: 1 << 32, "\(name).kernel")
  let stride = try counted(given.stride, atLeast: 1, size: 1 << 32, "\(name).stride")
  let padding = try counted(given.padding, atLeast: 0, size: 1 << 32, "\(name).padding")
  let inputs = try counted(given.inputs, atLeast: 1, size: 1 << 32, "\(name).inputs")
  guard padding < kernel, inputs + 2 * padding >= kernel else {
    throw Fault(
      SF_BAD_ARCHITECTURE,
      "a kernel of \(kernel) does not fit into \(inputs) \(name) with padding \(padding)")
  }
  return ConvolutionSide(inputs: inputs, kernel: kernel, stride: stride, padding: padding)
}

/// What the calls allocate at most, besides arenas and the tables of lists.
private enum CallMemory {
  static let arguments = MemoryBound.arguments(6, lists: 2) + (1 << 14)

  static var bound: Int { arguments + ((try? Threads.current()) ?? 1) * (1 << 14) }
}
