// What a report derives from its counts: whether positions instead of scores decided.

import SwiftForceCore
import Testing

@Suite struct ReportTests {
  @Test(arguments: [
    // Threshold, candidates at it, how many of those are kept, arbitrary.
    (0.0, 5, 2, 2), (0.0, 5, 5, 0), (-0.0, 5, 1, 1), (1.0, 5, 2, 0), (-1.0, 5, 2, 0),
  ])
  func arbitraryCountsZerosThatPositionsChose(
    threshold: Double, atThreshold: Int, kept: Int, arbitrary: Int
  ) {
    var report = Report()
    report.threshold = threshold
    report.atThreshold = atThreshold
    report.keptAtThreshold = kept
    #expect(report.arbitrary == arbitrary)
  }

  @Test func aNewReportCountsNothing() {
    let report = Report()
    #expect(report.step == 1)
    #expect(report.keep == 0)
    #expect(report.arbitrary == 0)
    #expect(report.layerKept.isEmpty)
  }
}
