// Selections that are small enough for their keys to be stored: every size up to a few hundred, the
// sizes around the largest, both types of scores, and every CPU level.

import Testing

@testable import SwiftForceCore

private let largest = Bracket<BaselineFloatKernels>.minimumCount - 1

/// What a selection wrote and reported.
private struct Result: Equatable {
  var masks: [UInt8]
  var report: Report

  init(_ values: [Float], keep: Int, sizes: [Int], level: CPULevel? = nil) throws {
    let scores = Memory(values)
    let masks = Memory<UInt8>(masksOf: values.count)
    report = try withExtendedLifetime((scores, masks)) {
      try Selection.select(
        from: Scores(given: scores.tensors(sizes)), keep: keep, masks: masks.masks(sizes),
        previous: nil, applying: nil, level: level)
    }
    #expect(masks.isIntact)
    self.masks = masks.values
  }

  /// A selection among the same values in binary64.
  init(wide values: [Float], keep: Int) throws {
    let masks = Memory<UInt8>(masksOf: values.count)
    var scores = values.map(Double.init)
    report = try unsafe scores.withUnsafeMutableBytes { bytes in
      let base = unsafe try #require(bytes.baseAddress)
      let tensor = unsafe Tensor(base, count: values.count, type: .float64)
      return try withExtendedLifetime(masks) {
        try Selection.select([tensor], keep: keep, into: masks.masks([values.count]))
      }
    }
    self.masks = masks.values
  }
}

private func check(_ values: [Float], keep: Int, sizes: [Int], _ kind: Kind) throws {
  let oracle = Oracle(values, keep: keep, sizes: sizes)
  var expected = oracle.report
  expected.passes = values.count <= largest ? 2 : expected.passes
  var result = try Result(values, keep: keep, sizes: sizes)
  if values.count > largest { result.report.passes = 0 }
  #expect(result.masks == oracle.mask, "\(kind) n \(values.count) keep \(keep)")
  #expect(result.report == expected, "\(kind) n \(values.count) keep \(keep)")
}

@Suite struct SmallSelectionTests {
  @Test(arguments: Kind.allCases)
  func everySmallSize(kind: Kind) throws {
    for count in 1...300 {
      let values = kind.values(count)
      for keep in Set([1, (count + 9) / 10, count]) {
        try check(values, keep: keep, sizes: [count / 3, 0, count - count / 3], kind)
      }
    }
  }

  @Test(arguments: Kind.allCases)
  func bothTypesOfScoresAgree(kind: Kind) throws {
    for count in [1, 2, 17, 255, 700, 4095, 4096, 5000] {
      let values = kind.values(count)
      let keep = (count + 6) / 7
      let narrow = try Result(values, keep: keep, sizes: [count])
      #expect(try Result(wide: values, keep: keep) == narrow, "\(kind) n \(count)")
    }
  }

  /// Numbers of weights around which the width of a digit changes or keys are no longer stored.
  @Test(arguments: [4095, 4096, 4097, largest - 1, largest, largest + 1])
  func sizesAroundTheEdges(count: Int) throws {
    for kind in [Kind.random, .constant, .fewValues, .halfZeros, .denormals] {
      let values = kind.values(count)
      for keep in [1, count / 10, count - 1] {
        try check(values, keep: keep, sizes: [count - 7, 7], kind)
      }
    }
  }

  @Test(arguments: [Kind.random, .fewValues, .signedZeros, .maximumLast])
  func levelsAgree(kind: Kind) throws {
    let values = kind.values(3001)
    let first = try Result(values, keep: 300, sizes: [1000, 2001], level: .v2)
    for level in CPULevel.available {
      #expect(try Result(values, keep: 300, sizes: [1000, 2001], level: level) == first)
    }
  }
}
