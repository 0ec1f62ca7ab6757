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

  /// The first tensor whose scores, products of two finite factors, overflow.
  static func first(inProductsOf lhs: [Tensor], _ rhs: [Tensor]) -> NonFinite? {
    for (position, (left, right)) in zip(lhs, rhs).enumerated() {
      let scan = unsafe FiniteScan(products: left.floats, right.floats, count: left.count)
      guard scan.count > 0 else { continue }
      return NonFinite(
        operand: .scores, tensor: position, firstIndex: scan.firstIndex, count: scan.count,
        value: .infinity)
    }
    return nil
  }
}
