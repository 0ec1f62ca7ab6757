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
    at weights: [Tensor]?, into targets: [MutableTensor], batch: Batch<Float>
  ) throws(SFError) -> BatchResult {
    try gradients(at: weights?.map(\.floats), into: targets.map(\.floats), batch: batch)
  }

  /// The outputs for every sample; see `forward(batch:into:)` with a vector.
  public func forward(batch: Batch<Float>, into logits: MutableTensor) throws(SFError) {
    try forward(batch: batch, into: logits.floats)
  }
}

extension Tensor {
  /// These elements as the network reads them. It never writes to weights that it is handed.
  fileprivate var floats: Vector<Float> {
    switch type {
    case .float32:
      unsafe Vector(
        UnsafeMutableRawPointer(mutating: address).assumingMemoryBound(to: Float.self),
        count: count)
    }
  }
}

extension MutableTensor {
  fileprivate var floats: Vector<Float> {
    switch type {
    case .float32: unsafe Vector(address.assumingMemoryBound(to: Float.self), count: count)
    }
  }
}
