// Accumulated scores and the factor of removed weights: every CPU level and element type against the
// arithmetic by definition, and what is stored.

import Testing

@testable import SwiftForceCore

@Suite struct AccumulatedScoresTests {
  private struct Arrays {
    let weights: Stored
    let gradients: Stored
    let accumulated: Stored
    let before: [UInt8]
  }

  private func arrays(_ count: Int, _ weights: ElementType, _ gradients: ElementType) -> Arrays {
    var generator = TestGenerator(state: UInt64(count) &+ 1)
    func numbers(_ range: ClosedRange<Double>, zeroEvery period: Int = .max) -> [Double] {
      (0..<count).map { $0 % period == 3 ? 0 : Double.random(in: range, using: &generator) }
    }
    return Arrays(
      weights: Stored(weights, numbers(-2...2)),
      gradients: Stored(gradients, numbers(-2...2, zeroEvery: 5)),
      accumulated: Stored(AccumulatedScores.type(for: weights), numbers(0...4)),
      before: (0..<count).map { _ in UInt8.random(in: 0...1, using: &generator) })
  }

  /// The accumulated scores by definition: the product is rounded, and then the sum.
  private func accumulated(_ arrays: Arrays, momentum: Double) -> [Double] {
    let isWide = [arrays.weights, arrays.gradients].contains { $0.type == .float64 }
    return arrays.weights.values.indices.map { i in
      let (w, g) = (arrays.weights.values[i], arrays.gradients.values[i])
      let old = arrays.accumulated.values[i]
      return isWide
        ? momentum * old + abs(w * g)
        : Double(Float(momentum) * Float(old) + abs(Float(w) * Float(g)))
    }
  }

  /// How many scores of the step alone are zero, among all weights or those that were kept.
  private func zeros(_ arrays: Arrays, amongKept: Bool) -> Int {
    arrays.before.indices.count { i in
      let isZero = arrays.weights.values[i] * arrays.gradients.values[i] == 0
      return isZero && (arrays.before[i] == 1 || !amongKept)
    }
  }

  @Test(arguments: ElementType.allCases, ElementType.allCases)
  func everyLevelComputesTheSameBits(weights: ElementType, gradients: ElementType) throws {
    for count in [1, 7, 1023, 1025, 40_000, 140_000] {
      let keep = max(1, count / 5)
      for (level, factor) in zip(CPULevel.available + [.v2, .v2], [0.25, 0.1, 0.9, 1, 0]) {
        let arrays = arrays(count, weights, gradients)
        let new = accumulated(arrays, momentum: 0.9)
        let isWide = weights == .float64 || gradients == .float64
        let competing = zip(new, arrays.before).map { score, isKept in
          isKept == 1 ? score : isWide ? factor * score : Double(Float(factor) * Float(score))
        }
        let most = factor == 0 ? arrays.before.count { $0 == 1 } : count
        guard most >= 1 else { continue }
        let oracle = Oracle(
          competing, keep: min(keep, most), sizes: [count], previous: arrays.before,
          nested: factor == 0)
        let (masks, previous) = (
          Memory<UInt8>(masksOf: count), Memory(arrays.before, guardedBy: 99)
        )
        let report = try withExtendedLifetime((arrays, masks, previous)) {
          try Selection.select(
            from: Scores(
              .connectionSensitivity, weights: arrays.weights.tensors([count]),
              gradients: arrays.gradients.tensors([count]), previous: previous.masks([count]),
              competition: factor == 0 ? .survivors : factor < 1 ? .discounted(factor) : .all,
              accumulated: AccumulatedScores(
                tensors: arrays.accumulated.mutableTensors([count]), momentum: 0.9),
              seed: 0),
            keep: min(keep, most), masks: masks.masks([count]),
            previous: (previous.masks([count]), arrays.before.count { $0 == 1 }), applying: nil,
            level: level, threads: 2)
        }
        #expect(masks.values == oracle.mask, "\(level) \(count) factor \(factor)")
        #expect(report.threshold == oracle.report.threshold, "\(level) \(count)")
        #expect(report.zeroScores == zeros(arrays, amongKept: factor == 0), "\(level) \(count)")
        let stored = zip(new, arrays.before).map { score, isKept in
          Stored.encoded(factor == 0 && isKept == 0 ? 0 : score, arrays.accumulated.type)
        }
        #expect(arrays.accumulated.bits == stored, "\(level) \(count) factor \(factor)")
        #expect(arrays.accumulated.isIntact)
      }
    }
  }

  /// A value that overflows only where it is stored is named, and nothing is stored.
  @Test func overflowWhereSumsAreStored() throws {
    let weights = Stored(.float32, [1, 1, 1])
    let largest = Double(Float.greatestFiniteMagnitude)
    for (value, isStored) in [
      (largest, true), (0x1.fffffeffp127, true), (0x1.ffffffp127, false), (0x1p128, false),
    ] {
      let gradients = Stored(.float64, [1, 2, value])
      let accumulated = Stored(.float32, [0, 0, 0])
      func step() throws { try firstStep(weights, gradients, accumulated, count: 3) }
      if isStored {
        #expect(throws: Never.self) { try step() }
        #expect(accumulated.bits[2] == Stored.encoded(largest, .float32))
      } else {
        let found = NonFinite(
          operand: .scores, tensor: 0, firstIndex: 2, count: 1, value: .infinity)
        #expect(throws: SFError.nonFinite(found)) { try step() }
        #expect(accumulated.bits == [0, 0, 0])
      }
    }
  }

  @Test func accumulatedScoresThatDoNotFit() throws {
    let numbers = Stored(.float64, [1, 2, 3])
    func step(_ accumulated: Stored?, count: Int) throws {
      try firstStep(numbers, numbers, accumulated, count: count)
    }
    #expect(throws: SFError.sizeMismatch(.accumulated, tensor: nil, got: 0, expected: 1)) {
      try step(nil, count: 3)
    }
    #expect(throws: SFError.sizeMismatch(.accumulated, tensor: 0, got: 2, expected: 3)) {
      try step(Stored(.float64, [0, 0]), count: 2)
    }
    #expect(throws: SFError.badType(.accumulated, tensor: 0, got: .float32, expected: .float64)) {
      try step(Stored(.float32, [0, 0, 0]), count: 3)
    }
  }

  @Test func accumulatedScoresThatAreNotFiniteAreNamed() throws {
    let numbers = Stored(.float32, [1, 2, 3])
    let error = #expect(throws: SFError.self) {
      try firstStep(numbers, numbers, Stored(.float32, [0, .nan, .infinity]), count: 3)
    }
    guard case .nonFinite(let found) = error else {
      Issue.record("another error")
      return
    }
    #expect(found.operand == .accumulated && found.firstIndex == 1 && found.count == 2)
  }

  /// The first step of a search with momentum for one tensor of three weights.
  ///
  /// - Parameter count: of the accumulated scores.
  private func firstStep(
    _ weights: Stored, _ gradients: Stored, _ accumulated: Stored?, count: Int
  ) throws {
    let masks = Memory<UInt8>(masksOf: 3)
    var search = try Search(
      .force, sizes: [3], keep: 1, steps: 2, damping: Damping(momentum: 0.5))
    _ = try withExtendedLifetime((weights, gradients, accumulated, masks)) {
      try search.step(
        weights: weights.tensors([3]), gradients: gradients.tensors([3]), previous: nil,
        masks: masks.masks([3]), accumulated: accumulated?.mutableTensors([count]))
    }
  }
}
