// The sums of a report where binary32 has too few digits or too small a range for them.

import Testing

@testable import SwiftForceCore

@Suite struct SumsTests {
  /// Powers of two that weights and gradients are multiplied by: squares of gradients become zero or
  /// infinite in binary32, and sums of products do.
  private static let powers: [(weights: Float, gradients: Float)] = [
    (1, 1), (0x1p60, 0x1p-80), (0x1p90, 0x1p-100), (0x1p-40, 0x1p70), (0x1p-60, 0x1p120),
    (0x1p63, 0x1p63), (0x1p-70, 0x1p-60), (1, 0),
  ]

  @Test(arguments: 0..<powers.count, CPULevel.available)
  func areThoseOfBinary64(power: Int, level: CPULevel) throws {
    try check(power, level, before: nil)
    try check(power, level, before: [0, 1, 1])
  }

  /// - Parameter before: the mask of the step before, repeated; nil: there is none.
  private func check(_ power: Int, _ level: CPULevel, before: [UInt8]?) throws {
    let (ofWeights, ofGradients) = Self.powers[power]
    let count = 3 * Block.largestCount + 77
    var generator = TestGenerator(state: UInt64(power))
    func numbers(_ factor: Float) -> [Float] {
      (0..<count).map { _ in Float.random(in: -1...1, using: &generator) * factor }
    }
    let (weights, gradients) = (numbers(ofWeights), numbers(ofGradients))
    let products = zip(weights, gradients).map { Double(abs($0 * $1)) }
    let (first, second) = (Memory(weights), Memory(gradients))
    let masks = Memory(masksOf: count)
    let old = before.map { before in
      Memory((0..<count).map { before[$0 % before.count] }, guardedBy: 99)
    }
    let kept = old.map { old in old.values.count { $0 == 1 } } ?? count
    let report = try withExtendedLifetime((first, second, masks, old)) {
      try Selection.select(
        from: try Scores(
          .connectionSensitivity, weights: first.tensors([count]),
          gradients: second.tensors([count]), previous: old?.masks([count])),
        keep: count / 2, masks: masks.masks([count]),
        previous: old.map { ($0.masks([count]), kept) }, applying: nil, level: level)
    }
    var expected = report
    expected.totalSaliency = products.reduce(0, +)
    expected.objectiveBefore = zip(products, old?.values ?? []).reduce(0) {
      $0 + ($1.1 == 1 ? $1.0 : 0)
    }
    if old == nil { expected.objectiveBefore = expected.totalSaliency }
    expected.saliency = zip(products, masks.values).reduce(0) { $0 + ($1.1 == 1 ? $1.0 : 0) }
    expected.gradientNorm = gradients.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    #expect(agree(report, expected))
    #expect(expected.gradientNorm > 0 || ofGradients == 0)
  }

  /// Sums are formed in one order, so their last bits are those of every CPU level.
  @Test(arguments: ElementType.allCases)
  func areTheSameAtEveryLevel(type: ElementType) throws {
    var generator = TestGenerator(state: 8)
    let count = 5 * Block.largestCount + 333
    func numbers() -> Stored {
      Stored(type, (0..<count).map { _ in Double.random(in: -1...1, using: &generator) })
    }
    let (weights, gradients) = (numbers(), numbers())
    let previous = Memory((0..<count).map { UInt8($0 % 5 / 4) }, guardedBy: 99)
    let reports = try CPULevel.available.map { level in
      let masks = Memory(masksOf: count)
      return try withExtendedLifetime((weights, gradients, previous, masks)) {
        try Selection.select(
          from: Scores(
            .connectionSensitivity, weights: weights.tensors([count]),
            gradients: gradients.tensors([count]), previous: previous.masks([count])),
          keep: count / 9, masks: masks.masks([count]),
          previous: (previous.masks([count]), count / 5), applying: nil, level: level)
      }
    }
    for report in reports { #expect(report == reports[0]) }
    #expect(reports[0].saliency > 0 && reports[0].objectiveBefore > 0)
  }

  /// Numbers that cancel where all are added, and not where some are.
  @Test func keptScoresAreSummedByThemselves() throws {
    let scores = (0..<1280).map { Float($0 / 8 % 2 == 0 ? 0x1p127 : -0x1p127) }
    let memory = Memory(scores)
    let masks = Memory(masksOf: scores.count)
    let report = try withExtendedLifetime((memory, masks)) {
      try Selection.select(memory.tensors([1280]), keep: 640, into: masks.masks([1280]))
    }
    #expect(report.saliency == 640 * 0x1p127)
    #expect(report.totalSaliency == 0)
  }

  /// One block of numbers beyond the range among others.
  @Test func aBlockIsSummedByItself() throws {
    let count = 4 * Block.largestCount
    let scores = (0..<count).map { Float($0 / Block.largestCount == 2 ? 0x1.8p127 : 1) }
    let memory = Memory(scores)
    let masks = Memory(masksOf: count)
    let report = try withExtendedLifetime((memory, masks)) {
      try Selection.select(memory.tensors([count]), keep: count, into: masks.masks([count]))
    }
    #expect(report.saliency == 1024 * 0x1.8p127 + 3 * 1024)
    #expect(report.totalSaliency == report.saliency)
  }
}
