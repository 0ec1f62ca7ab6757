// The schedule axis of a search: how many weights are kept after each step? What must not live
// here: how a sparsity becomes a number of weights (Keep).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The numbers of weights kept on the way from all n weights to k weights in T steps.
public enum Schedule: Named {
  /// `n^(1 - t/T) k^(t/T)`: each step removes the same share of the survivors. FORCE uses it.
  case exponential
  /// `n - t (n - k) / T`: each step removes the same number.
  case linear
  /// `k + (n - k) (1 - t/T)^3`: fast at first, slow at the end (Zhu and Gupta, 2017).
  case cubic
  /// `k + (n - k) (1 + cos(pi t/T)) / 2`: slow at both ends.
  case cosine

  /// How many weights are kept after steps 1 ... `steps`.
  ///
  /// The numbers are computed in binary64 and rounded to the nearest integer, ties to even. They
  /// never grow, stay in `keep` ... `count`, and end at exactly `keep`.
  ///
  /// - Throws: `badCount`, `badKeep`, `badSteps`.
  /// - Complexity: O(steps).
  public func keeps(of count: Int, keep: Int, steps: Int) throws(SFError) -> [Int] {
    try Keep.check(keep, of: count)
    guard steps >= 1 else { throw .badSteps(steps, oneShot: false) }
    var keeps: [Int] = []
    keeps.reserveCapacity(steps)
    var previous = count
    for step in 1..<steps {
      let unrounded = amount(Double(count), Double(keep), Double(step), Double(steps))
      previous = min(previous, max(keep, Int(unrounded.rounded(.toNearestOrEven))))
      keeps.append(previous)
    }
    keeps.append(keep)
    return keeps
  }

  /// How many of `n` weights are kept after `t` of `steps` steps towards `k`, before rounding.
  private func amount(_ n: Double, _ k: Double, _ t: Double, _ steps: Double) -> Double {
    switch self {
    case .exponential: pow(n, 1 - t / steps) * pow(k, t / steps)
    case .linear: n - t * (n - k) / steps
    case .cubic: k + (n - k) * pow(1 - t / steps, 3)
    case .cosine: k + (n - k) * (1 + cos(Double.pi * t / steps)) / 2
    }
  }

  /// Checks a list that the caller made: it starts at `count` or below, never grows, and ends at
  /// `keep`.
  ///
  /// - Throws: `badSchedule` with the first wrong step, `badCount`, `badKeep`, `badSteps`.
  public static func check(_ keeps: [Int], of count: Int, keep: Int) throws(SFError) {
    try Keep.check(keep, of: count)
    guard !keeps.isEmpty else { throw .badSteps(0, oneShot: false) }
    var previous = count
    for (i, next) in keeps.enumerated() {
      let isLast = i == keeps.count - 1
      guard next <= previous, next >= keep, !isLast || next == keep else {
        throw .badSchedule(step: i + 1, keep: next, previous: previous)
      }
      previous = next
    }
  }
}
