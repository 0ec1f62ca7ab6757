// The allocation axis of a method: how are the weights that are kept shared out among the tensors?
// What must not live here: which weights of a tensor are kept (BoundedSelection).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How many weights each tensor keeps.
public enum Allocation: Named {
  /// As many as its scores deserve, compared with those of all tensors.
  case global
  /// The same share of each tensor.
  case uniform
  /// Erdős-Rényi-Kernel (Evci et al., "Rigging the Lottery", 2020): a number that is proportional to
  /// the sum of the lengths of the tensor's axes; tensors that would keep more than all keep all.
  case erk

  /// The number of weights that each tensor keeps.
  ///
  /// Numbers are rounded so that their sum is `keep`; with a larger sum, none is smaller.
  ///
  /// - Parameters:
  ///   - sizes: elements of each tensor.
  ///   - ends: the sum of the lengths of the axes of each tensor.
  ///   - ranges: how many weights of each tensor must and may be kept; nil: 0 to all.
  /// - Returns: nil for `global`, where scores decide.
  /// - Throws: `badKeep`, `badCount`, `sizeMismatch`, `badBounds`.
  public func counts(
    of sizes: [Int], ends: [Int], keep: Int, within ranges: [ClosedRange<Int>]? = nil
  ) throws(SFError) -> [Int]? {
    try Keep.check(keep, of: try Selection.total(sizes))
    try Selection.checkSizes(ends.map { _ in 1 }, sizes.map { _ in 1 }, .weights)
    if let end = ends.first(where: { $0 < 0 }) { throw .badCount(end) }
    let ranges = ranges ?? sizes.map { 0...$0 }
    try Limits.check(keep, within: ranges)
    switch self {
    case .global: return nil
    case .uniform: return Allocation.apportion(keep, sizes.map(Double.init), within: ranges)
    case .erk: return Allocation.apportion(keep, ends.map(Double.init), within: ranges)
    }
  }

  /// Numbers in proportion to shares: for one factor, each is its share times the factor, rounded.
  private static func apportion(
    _ sum: Int, _ shares: [Double], within ranges: [ClosedRange<Int>]
  ) -> [Int] {
    let largest = zip(shares, ranges).reduce(1.0) { result, pair in
      pair.0 > 0 ? max(result, (Double(pair.1.upperBound) + 1) / pair.0) : result
    }
    return reach(sum, from: 0, to: largest, within: ranges) { tensor, factor in
      shares[tensor] * factor
    }
  }

  /// How many weights each tensor keeps on the way from all of them to `final`, so that the sum is
  /// `sum`: each falls by the same power of its own share.
  ///
  /// - Parameter final: within `ranges`; their sum is at most `sum`.
  static func counts(
    _ sum: Int, towards final: [Int], of sizes: [Int], within ranges: [ClosedRange<Int>]
  ) -> [Int] {
    if sum == final.reduce(0, +) { return final }
    let limits = zip(final, ranges).map { $0...$1.upperBound }
    // What ends at none passes through a half, which is rounded to none.
    let starts = zip(sizes, final).map { log(max(0.5, Double($0)) / max(0.5, Double($1))) }
    let reached = reach(sum, from: 0, to: 1, within: limits) { tensor, done in
      max(0.5, Double(final[tensor])) * exp(starts[tensor] * done)
    }
    return reached
  }

  /// Integers that add up to `sum`: the rounded values of a family of functions that never fall, at
  /// the point where their sum passes it. What is left over goes to the first that rise there.
  private static func reach(
    _ sum: Int, from low: Double, to high: Double, within ranges: [ClosedRange<Int>],
    _ value: (Int, Double) -> Double
  ) -> [Int] {
    func numbers(_ point: Double) -> [Int] {
      ranges.enumerated().map { tensor, range in
        let rounded = value(tensor, point).rounded(.toNearestOrEven)
        // Compared as binary64, since it may be larger than an integer can be.
        return rounded >= Double(range.upperBound)
          ? range.upperBound : max(range.lowerBound, Int(rounded))
      }
    }
    var (below, above) = (low, high)
    while true {
      let middle = (below + above) / 2
      guard middle > below, middle < above else { break }
      if numbers(middle).reduce(0, +) <= sum { below = middle } else { above = middle }
    }
    var result = numbers(below)
    let next = numbers(above)
    var left = sum - result.reduce(0, +)
    for tensor in result.indices where left > 0 {
      let added = min(left, max(0, next[tensor] - result[tensor]))
      result[tensor] += added
      left -= added
    }
    // Bounds that are met everywhere else may leave room in tensors of the largest share only.
    for tensor in result.indices where left > 0 {
      let added = min(left, ranges[tensor].upperBound - result[tensor])
      result[tensor] += added
      left -= added
    }
    return result
  }
}
