// The network's calls for Core's `Tensor`s, the caller's arrays. What must not live here: anything
// but the conversion.

import SwiftForceCore
import SwiftForceKernels

extension Network where Element == Float {
  /// Computes the dense gradients of the mean loss over the batch. See the method of the same name
  /// for vectors, which has the same guarantees.
  ///
  /// - Parameters:
  ///   - weights: one per prunable weight, as `weightSizes` says; nil: the network's own.
  ///   - targets: set to dL/dW, of the weights' sizes.
  /// - Throws: `.badType` unless all are float32; the errors of the method for vectors.
  public func gradients(
    at weights: [Tensor]?, into targets: [MutableTensor], batch: Batch<Float>, together: Int? = nil,
    normalization: Normalization = .batch, ofZeros: Bool = true, loss: Loss = .crossEntropy
  ) throws(SFError) -> BatchResult {
    var own: [Vector<Float>]?
    if let weights {
      own = []
      for (i, tensor) in weights.enumerated() { own?.append(try tensor.floats(.weights, i)) }
    }
    var found: [Vector<Float>] = []
    for (i, tensor) in targets.enumerated() { found.append(try tensor.floats(.gradients, i)) }
    return try gradients(
      at: own, into: found, batch: batch, together: together, normalization: normalization,
      ofZeros: ofZeros, loss: loss)
  }

  /// Computes the outputs of every sample. See `forward(batch:into:)` for a vector.
  ///
  /// - Throws: `.badType` unless `logits` is float32; the errors of the method for a vector.
  public func forward(batch: Batch<Float>, into logits: MutableTensor) throws(SFError) {
    try forward(batch: batch, into: try logits.floats(.logits, 0))
  }
}

extension Tensor {
  /// A view for the network, which never writes to weights that a caller passes.
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
