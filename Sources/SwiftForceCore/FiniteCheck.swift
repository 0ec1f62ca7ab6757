// Finding and naming NaN and infinity in a list of tensors.

import SwiftForceKernels

enum FiniteCheck {
  /// The first tensor with values that are not finite.
  static func first(in tensors: [Tensor], as operand: Operand) -> NonFinite? {
    for (position, tensor) in tensors.enumerated() {
      let scan = unsafe FiniteScan(tensor.floats, count: tensor.count)
      guard scan.count > 0 else { continue }
      return NonFinite(
        operand: operand, tensor: position, firstIndex: scan.firstIndex, count: scan.count,
        value: Double(unsafe tensor.floats[scan.firstIndex]))
    }
    return nil
  }

  /// The first tensor of which the scores of competing weights, products of two finite factors,
  /// overflow.
  ///
  /// - Parameter candidates: the weights that compete; nil: all.
  static func first(
    inProductsOf lhs: [Tensor], _ rhs: [Tensor], of candidates: [Mask]?
  ) -> NonFinite? {
    for (position, (left, right)) in zip(lhs, rhs).enumerated() {
      let scan = unsafe FiniteScan(
        products: left.floats, right.floats, of: candidates?[position].base, count: left.count)
      guard scan.count > 0 else { continue }
      return NonFinite(
        operand: .scores, tensor: position, firstIndex: scan.firstIndex, count: scan.count,
        value: .infinity)
    }
    return nil
  }
}
