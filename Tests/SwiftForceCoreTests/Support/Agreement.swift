// Reports that are equal but for the rounding of sums. What must not live here: which sums are exact
// (Kind).

import SwiftForceCore

/// Whether counts are equal, and sums to one part in two million: those of binary32 are added in
/// binary32, eight at a time.
///
/// - Parameter scale: the sum of the absolute values of all scores; nil: none is negative.
func agree(_ report: Report, _ expected: Report, scale: Double? = nil) -> Bool {
  var (report, expected) = (report, expected)
  guard abs(report.gradientNorm - expected.gradientNorm) <= 0x1p-21 * expected.gradientNorm else {
    return false
  }
  report.gradientNorm = expected.gradientNorm
  let sums: [WritableKeyPath<Report, Double>] = [
    \.saliency, \.totalSaliency, \.objectiveBefore,
  ]
  for sum in sums {
    let (found, exact) = (report[keyPath: sum], expected[keyPath: sum])
    guard abs(found - exact) <= 0x1p-21 * (scale ?? exact) else { return false }
    report[keyPath: sum] = exact
  }
  return report == expected
}
