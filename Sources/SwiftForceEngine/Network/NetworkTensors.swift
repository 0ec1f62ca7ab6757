// The network's calls in terms of Core's views of the caller's arrays. What must not live here:
// anything but the translation.

import SwiftForceCore
import SwiftForceKernels

extension Network where Element == Float {
  /// The dense gradients of the mean loss over the batch; see `gradients(at:into:batch:)` with
  /// vectors, whose guarantees hold here too.
  ///
  /// - Parameters:
  ///   - weights: one per prunable weight, as `weightSizes` says; nil: the network's own.
  ///   - targets: get dL/dW, as large as the weights.
  public func gradients(
    at weights: [Tensor]?, into targets: [MutableTensor], batch: Batch<Float>, together: Int? = nil,
    normalization: Normalization = .batch
  ) throws(SFError) -> BatchResult {
    var own: [Vector<Float>]?
    if let weights {
      own = []
      for (i, tensor) in weights.enumerated() { own?.append(try tensor.floats(.weights, i)) }
    }
    var found: [Vector<Float>] = []
    for (i, tensor) in targets.enumerated() { found.append(try tensor.floats(.gradients, i)) }
    return try gradients(
      at: own, into: found, batch: batch, together: together, normalization: normalization)
  }

  /// The outputs for every sample; see `forward(batch:into:)` with a vector.
  public func forward(batch: Batch<Float>, into logits: MutableTensor) throws(SFError) {
    try forward(batch: batch, into: try logits.floats(.logits, 0))
  }
}

extension Tensor {
  /// These elements as the network reads them. It never writes to weights that it is handed.
  fileprivate func floats(_ operand: Operand, _ position: Int) throws(SFError) -> Vector<Float> {
    guard type == .float32 else {
      throw .badType(operand, tensor: position, got: type, expected: .float32)
    }
    return unsafe Vector(
      UnsafeMutableRawPointer(mutating: address).assumingMemoryBound(to: Float.self),
      count: count)
  }
}

extension MutableTensor {
  fileprivate func floats(_ operand: Operand, _ position: Int) throws(SFError) -> Vector<Float> {
    guard type == .float32 else {
      throw .badType(operand, tensor: position, got: type, expected: .float32)
    }
    return unsafe Vector(address.assumingMemoryBound(to: Float.self), count: count)
  }
}
