// Finding and naming NaN and infinity after a cheaper test has found that there are some. It runs
// only on the way to an error, so it is written for clarity, not for speed. What must not live
// here: the cheap test, which is part of the loops.

/// The search for values that are not finite.
enum FiniteCheck {
  /// The first tensor with values that are not finite.
  static func first(in tensors: [Tensor], as operand: Operand) -> NonFinite? {
    for (position, tensor) in tensors.enumerated() {
      if let found = scan(tensor.count, value: { tensor.element($0) }) {
        return found.named(operand, position)
      }
    }
    return nil
  }

  /// The first tensor in which the score of a competing weight, a product of two finite factors or
  /// the sum of such, overflows its type, or that of the array where it is stored.
  ///
  /// - Parameters:
  ///   - accumulated: scores of the steps before; nil: scores are not accumulated.
  ///   - candidates: masks of the weights that compete; nil: all compete.
  ///   - wide: whether scores are binary64.
  static func first(
    inProductsOf lhs: [Tensor], _ rhs: [Tensor], plus accumulated: AccumulatedScores?,
    of candidates: [Mask]?, wide: Bool
  ) -> NonFinite? {
    for (position, (left, right)) in zip(lhs, rhs).enumerated() {
      let mask = candidates?[position]
      let found = scan(left.count) { i in
        if let mask, unsafe mask.base[i] == 0 { return 0 }
        let (a, b) = (left.element(i), right.element(i))
        let product = wide ? a * b : Double(Float(a) * Float(b))
        guard product.isFinite, let accumulated else { return product }
        let stored = accumulated.view(position)
        let old = stored.element(i)
        let sum =
          wide
          ? accumulated.momentum * old + abs(product)
          : Double(Float(accumulated.momentum) * Float(old) + Float(abs(product)))
        return stored.type == .float32 ? Double(Float(sum)) : sum
      }
      if let found { return found.named(.scores, position) }
    }
    return nil
  }

  private static func scan(_ count: Int, value: (Int) -> Double) -> NonFinite? {
    var found: NonFinite?
    for i in 0..<count {
      let element = value(i)
      guard !element.isFinite else { continue }
      found =
        found
        ?? NonFinite(
          operand: .scores, tensor: 0, firstIndex: i, count: 0, value: element)
      found?.count += 1
    }
    return found
  }
}

extension NonFinite {
  fileprivate func named(_ operand: Operand, _ tensor: Int) -> NonFinite {
    var copy = self
    copy.operand = operand
    copy.tensor = tensor
    return copy
  }
}
