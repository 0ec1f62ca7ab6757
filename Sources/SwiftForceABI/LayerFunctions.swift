// Exported: a dense layer by itself. What must not live here: layers over kept weights
// (SparseFunctions.swift), networks (NetworkFunctions.swift).

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

@_cdecl("sf_layer_forward")
public func layerForward(
  _ operation: UnsafePointer<sf_layer_operation>?, _ arrays: UnsafePointer<sf_layer_arrays>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: argumentMemory) { () throws(Fault) in
    let call = unsafe try LayerCall(operation, arrays, isBackward: false)
    try holding(call.operation.memoryBound(samples: call.samples)) { () throws(Fault) in
      try mappingErrors { () throws(SFError) in
        try call.operation.forward(samples: call.samples, call.arrays)
      }
    }
  }
}

@_cdecl("sf_layer_backward")
public func layerBackward(
  _ operation: UnsafePointer<sf_layer_operation>?, _ arrays: UnsafePointer<sf_layer_arrays>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: argumentMemory) { () throws(Fault) in
    let call = unsafe try LayerCall(operation, arrays, isBackward: true)
    guard let gradients = call.gradients else { return }
    try holding(call.operation.memoryBound(samples: call.samples)) { () throws(Fault) in
      try mappingErrors { () throws(SFError) in
        try call.operation.backward(samples: call.samples, call.arrays, gradients)
      }
    }
  }
}

private let argumentMemory = MemoryBound.arguments(16, lists: 2) + (1 << 14)

/// The checked arguments of a call.
private struct LayerCall {
  let operation: LayerOperation
  let samples: Int
  let arrays: LayerOperation.Arrays<Float>
  /// Nil in a forward pass.
  private(set) var gradients: LayerOperation.Gradients<Float>?

  init(
    _ operation: UnsafePointer<sf_layer_operation>?, _ arrays: UnsafePointer<sf_layer_arrays>?,
    isBackward: Bool
  ) throws(Fault) {
    let given = unsafe try required(operation, "operation").pointee
    let layer = unsafe try required(given.layer, "layer").pointee
    let shape = unsafe [given.shape.0, given.shape.1, given.shape.2].map { Int($0) }
    samples = try counted(unsafe given.samples, atLeast: 1, size: 1 << 41, "samples")
    let description = try description(of: layer)
    self.operation = try mappingErrors { () throws(SFError) in
      try LayerOperation(description, shape: shape)
    }
    let lists = unsafe try required(arrays, "arrays").pointee
    let floats = [SF_TYPE_FLOAT32]
    let source = unsafe try Arrays(lists.source, 1, SF_OPERAND_INPUTS, types: floats)
    // A forward pass writes running statistics.
    let parameters = unsafe try Arrays.list(
      lists.parameters, lists.parameter_count, SF_OPERAND_WEIGHTS, isWritten: !isBackward)
    let output = unsafe try Arrays(
      lists.output, 1, SF_OPERAND_LOGITS, types: floats, isWritten: !isBackward)
    let saved = unsafe try Arrays(
      lists.saved, 1, SF_OPERAND_ACCUMULATED, types: floats, isWritten: !isBackward)
    self.arrays = LayerOperation.Arrays(
      source: source.vectors[0], parameters: parameters?.vectors ?? [], output: output.vectors[0],
      saved: saved.vectors[0])
    var all = [source, parameters, output, saved]
    if isBackward {
      let outputGradient = unsafe try Arrays(
        lists.output_gradient, 1, SF_OPERAND_GRADIENTS, types: floats)
      let sourceGradient =
        unsafe lists.source_gradient == nil
        ? nil
        : try Arrays(
          lists.source_gradient, 1, SF_OPERAND_GRADIENTS, types: floats, isWritten: true)
      let own = unsafe try Arrays.list(
        lists.parameter_gradients, lists.gradient_count, SF_OPERAND_GRADIENTS, isWritten: true)
      gradients = LayerOperation.Gradients(
        output: outputGradient.vectors[0], source: sourceGradient?.vectors[0],
        parameters: own?.vectors ?? [])
      all += [outputGradient, sourceGradient, own]
    }
    try Region.checkDisjoint(all)
  }
}

extension Arrays {
  /// A list of binary32 arrays that may have no entries.
  fileprivate static func list(
    _ list: UnsafePointer<sf_array>?, _ count: Int64, _ operand: sf_operand,
    isWritten: Bool = false
  ) throws(Fault) -> Arrays? {
    guard count != 0 else { return nil }
    return unsafe try Arrays(
      list, count, operand, types: [SF_TYPE_FLOAT32], isWritten: isWritten)
  }
}
