// Selections that are large enough for a bracket: sizes around the smallest of them, and every CPU
// level with every number of threads. BracketTests has data for which one pass does not suffice.

import Testing

@testable import SwiftForceCore

/// What a selection wrote and reported.
private struct Result: Equatable {
  var masks: [UInt8]
  var report: Report

  init(
    _ values: [Float], keep: Int, sizes: [Int], level: CPULevel? = nil, threads: Int? = nil
  ) throws {
    let scores = Memory(values)
    let masks = Memory<UInt8>(masksOf: values.count)
    report = try withExtendedLifetime((scores, masks)) {
      try Selection.select(
        from: Scores(given: scores.tensors(sizes)), keep: keep, masks: masks.masks(sizes),
        previous: nil, applying: nil, level: level, threads: threads)
    }
    #expect(masks.isIntact)
    self.masks = masks.values
  }
}

/// Selects and compares the mask and the report with the oracle.
///
/// - Returns: the number of passes.
@discardableResult
private func check(_ values: [Float], keep: Int, sizes: [Int]) throws -> Int {
  let result = try Result(values, keep: keep, sizes: sizes)
  var report = result.report
  let passes = report.passes
  report.passes = 0
  let oracle = Oracle(values, keep: keep, sizes: sizes)
  #expect(result.masks == oracle.mask, "n \(values.count) keep \(keep)")
  #expect(report == oracle.report, "n \(values.count) keep \(keep)")
  return passes
}

private let least = Bracket<BaselineFloatKernels>.minimumCount

@Suite struct LargeSelectionTests {
  @Test(arguments: [least - 1, least, least + 1, 2 * Chunk.largestCount + 1])
  func sizesAroundTheEdges(count: Int) throws {
    let values = Kind.random.values(count)
    for keep in [1, count / 100, count / 2, count - 1, count] {
      let passes = try check(values, keep: keep, sizes: [count])
      #expect(count < least ? passes > 1 : passes == 1)
    }
    for sizes in splits(of: count).suffix(3) { try check(values, keep: count / 10, sizes: sizes) }
  }

  @Test(arguments: [Kind.sorted, .reversed, .maximumLast, .mixedSigns, .denormals])
  func orderDoesNotMisleadTheSample(kind: Kind) throws {
    let count = 200_000
    #expect(try check(kind.values(count), keep: 20_000, sizes: [count]) == 1)
  }

  @Test(arguments: [Kind.random, .fewValues, .halfZeros, .signedZeros])
  func levelsAndThreadsAgree(kind: Kind) throws {
    let count = 5 * Chunk.largestCount + 3
    let values = kind.values(count)
    for keep in [count / 50, count / 2] {
      let first = try Result(values, keep: keep, sizes: [count], level: .v2, threads: 1)
      for level in CPULevel.available {
        for threads in 1...4 {
          let other = try Result(
            values, keep: keep, sizes: [count], level: level, threads: threads)
          #expect(other == first, "\(level) with \(threads) threads")
        }
      }
    }
  }

  /// These values have all their bits, so a sum depends on its order, which must always be the
  /// same.
  @Test func sumsAgreeToTheLastBit() throws {
    var generator = TestGenerator(state: 3)
    let values = (0..<300_001).map { _ in Float.random(in: 0...1, using: &generator) }
    let first = try Result(values, keep: 1234, sizes: [100_000, 200_001], level: .v2, threads: 1)
    for level in CPULevel.available {
      for threads in 1...4 {
        let other = try Result(
          values, keep: 1234, sizes: [100_000, 200_001], level: level, threads: threads)
        #expect(other == first, "\(level) with \(threads) threads")
      }
    }
  }

  @Test(arguments: [0, least / 2, least - 1])
  func aNaNIsFound(position: Int) throws {
    var values = Kind.random.values(least)
    values[position] = .nan
    let error = failure { _ = try Result(values, keep: 5, sizes: [least]) }
    guard case .nonFinite(let found) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(found.firstIndex == position)
  }
}
