// The conversion of a sparsity to an exact number of weights. What must not live here: the numbers
// of the steps before the last one (Schedule).

/// The number k of weights to keep.
public enum Keep {
  /// The largest number of weights that is accepted; sums of larger numbers could overflow.
  static let largestCount = 1 << 62

  /// The number of weights to keep: `round(count * (1 - sparsity))`, ties to even, at least 1.
  ///
  /// - Parameter count: the number of all weights.
  /// - Throws: `badSparsity` unless 0 <= sparsity < 1; `badCount`.
  public static func count(of count: Int, sparsity: Double) throws(SFError) -> Int {
    guard count >= 1, count <= largestCount else { throw .badCount(count) }
    guard sparsity >= 0, sparsity < 1 else { throw .badSparsity(sparsity) }
    let kept = (Double(count) * (1 - sparsity)).rounded(.toNearestOrEven)
    // Above 2^53 the product may round to more than `count`.
    return min(count, max(1, Int(kept)))
  }

  /// Checks that `keep` is in 1 ... `count`.
  ///
  /// - Throws: `badCount`, `badKeep`.
  static func check(_ keep: Int, of count: Int) throws(SFError) {
    guard count >= 1, count <= largestCount else { throw .badCount(count) }
    guard keep >= 1, keep <= count else { throw .badKeep(keep: keep, of: count) }
  }
}
