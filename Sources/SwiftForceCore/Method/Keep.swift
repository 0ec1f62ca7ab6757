// From a share to an exact number of weights.

/// The number k of weights to keep.
public enum Keep {
  /// More weights than this cannot be counted safely.
  static let largestCount = 1 << 62

  /// `round(count * (1 - sparsity))`, ties to even, at least 1.
  ///
  /// - Throws: `badSparsity` unless 0 <= sparsity < 1; `badCount`.
  public static func count(of count: Int, sparsity: Double) throws(SFError) -> Int {
    guard count >= 1, count <= largestCount else { throw .badCount(count) }
    guard sparsity >= 0, sparsity < 1 else { throw .badSparsity(sparsity) }
    let kept = (Double(count) * (1 - sparsity)).rounded(.toNearestOrEven)
    // Above 2^53 the product may round to more than there is.
    return min(count, max(1, Int(kept)))
  }

  /// - Throws: `badCount`, `badKeep`.
  static func check(_ keep: Int, of count: Int) throws(SFError) {
    guard count >= 1, count <= largestCount else { throw .badCount(count) }
    guard keep >= 1, keep <= count else { throw .badKeep(keep: keep, of: count) }
  }
}
