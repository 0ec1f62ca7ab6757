// The axis that answers: how many weights are kept after each step of a search?

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The way from all n weights down to the k that are to be kept, in T steps.
public enum Schedule: Named {
  /// `n^(1 - t/T) k^(t/T)`: each step removes the same share of the survivors. The paper's.
  case exponential
  /// `n - t (n - k) / T`: each step removes the same number.
  case linear
  /// `k + (n - k) (1 - t/T)^3`: fast at first, slow at the end (Zhu and Gupta, 2017).
  case cubic
  /// `k + (n - k) (1 + cos(pi t/T)) / 2`: slow at both ends.
  case cosine

  /// How many weights are kept after steps 1 ... `steps`.
  ///
  /// Computed in binary64 and rounded to the nearest integer, ties to even. Never grows, stays in
  /// `keep` ... `count`, and ends at exactly `keep`.
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
      let wanted = amount(Double(count), Double(keep), Double(step), Double(steps))
      previous = min(previous, max(keep, Int(wanted.rounded(.toNearestOrEven))))
      keeps.append(previous)
    }
    keeps.append(keep)
    return keeps
  }

  /// The amount kept of `n` weights after `t` of `steps` steps towards `k`.
  private func amount(_ n: Double, _ k: Double, _ t: Double, _ steps: Double) -> Double {
    switch self {
    case .exponential: pow(n, 1 - t / steps) * pow(k, t / steps)
    case .linear: n - t * (n - k) / steps
    case .cubic: k + (n - k) * pow(1 - t / steps, 3)
    case .cosine: k + (n - k) * (1 + cos(Double.pi * t / steps)) / 2
    }
  }

  /// Checks a schedule of the caller's own: it starts at `count` or below, never grows, and ends
  /// at `keep`.
  ///
  /// - Throws: `badSchedule` with the first step at fault, `badCount`, `badKeep`, `badSteps`.
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
