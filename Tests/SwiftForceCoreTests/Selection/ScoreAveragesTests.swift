// Averages of scores and the factor of removed weights: every CPU level and element type against the
// arithmetic by definition, and what is stored.

import Testing

@testable import SwiftForceCore

@Suite struct ScoreAveragesTests {
  private struct Arrays {
    let weights: Stored
    let gradients: Stored
    let averages: Stored
    let before: [UInt8]
  }

  private func arrays(_ count: Int, _ weights: ElementType, _ gradients: ElementType) -> Arrays {
    var generator = TestGenerator(state: UInt64(count) &+ 1)
    func numbers(_ range: ClosedRange<Double>) -> [Double] {
      (0..<count).map { _ in Double.random(in: range, using: &generator) }
    }
    return Arrays(
      weights: Stored(weights, numbers(-2...2)), gradients: Stored(gradients, numbers(-2...2)),
      averages: Stored(ScoreAverages.type(for: weights), numbers(0...4)),
      before: (0..<count).map { _ in UInt8.random(in: 0...1, using: &generator) })
  }

  /// The averages by definition: the product is rounded, and then the sum.
  private func averages(_ arrays: Arrays, momentum: Double) -> [Double] {
    let isWide = [arrays.weights, arrays.gradients].contains { $0.type == .float64 }
    return arrays.weights.values.indices.map { i in
      let (w, g) = (arrays.weights.values[i], arrays.gradients.values[i])
      let old = arrays.averages.values[i]
      return isWide
        ? momentum * old + abs(w * g)
        : Double(Float(momentum) * Float(old) + abs(Float(w) * Float(g)))
    }
  }

  @Test(arguments: ElementType.allCases, ElementType.allCases)
  func everyLevelComputesTheSameBits(weights: ElementType, gradients: ElementType) throws {
    for count in [1, 7, 1023, 1025, 40_000, 140_000] {
      let keep = max(1, count / 5)
      for (level, factor) in zip(CPULevel.available + [.v2, .v2], [0.25, 0.1, 0.9, 1, 0]) {
        let arrays = arrays(count, weights, gradients)
        let new = averages(arrays, momentum: 0.9)
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
              averages: ScoreAverages(
                tensors: arrays.averages.mutableTensors([count]), momentum: 0.9),
              seed: 0),
            keep: min(keep, most), masks: masks.masks([count]),
            previous: (previous.masks([count]), arrays.before.count { $0 == 1 }), applying: nil,
            level: level, threads: 2)
        }
        #expect(masks.values == oracle.mask, "\(level) \(count) factor \(factor)")
        #expect(report.threshold == oracle.report.threshold, "\(level) \(count)")
        let stored = zip(new, arrays.before).map { score, isKept in
          Stored.encoded(factor == 0 && isKept == 0 ? 0 : score, arrays.averages.type)
        }
        #expect(arrays.averages.bits == stored, "\(level) \(count) factor \(factor)")
        #expect(arrays.averages.isIntact)
      }
    }
  }

  /// A value that overflows only where it is stored is named, and nothing is stored.
  @Test func overflowWhereAveragesAreStored() throws {
    let weights = Stored(.float32, [1, 1, 1])
    let largest = Double(Float.greatestFiniteMagnitude)
    for (value, isStored) in [
      (largest, true), (0x1.fffffeffp127, true), (0x1.ffffffp127, false), (0x1p128, false),
    ] {
      let gradients = Stored(.float64, [1, 2, value])
      let averages = Stored(.float32, [0, 0, 0])
      let masks = Memory<UInt8>(masksOf: 3)
      let result = withExtendedLifetime((weights, gradients, averages, masks)) {
        Result { () throws(SFError) in
          var search = try Search(
            .force, sizes: [3], keep: 1, steps: 2, damping: Damping(momentum: 0.5))
          return try search.step(
            weights: weights.tensors([3]), gradients: gradients.tensors([3]), previous: nil,
            masks: masks.masks([3]), averages: averages.mutableTensors([3]))
        }
      }
      if isStored {
        #expect(throws: Never.self) { try result.get() }
        #expect(averages.bits[2] == Stored.encoded(largest, .float32))
      } else {
        let found = NonFinite(
          operand: .scores, tensor: 0, firstIndex: 2, count: 1, value: .infinity)
        #expect(throws: SFError.nonFinite(found)) { try result.get() }
        #expect(averages.bits == [0, 0, 0])
      }
    }
  }

  @Test func averagesThatDoNotFit() throws {
    let numbers = Stored(.float64, [1, 2, 3])
    let search = try Search(.force, sizes: [3], keep: 1, steps: 2, damping: Damping(momentum: 0.5))
    func step(_ averages: [MutableTensor]?) throws {
      let masks = Memory<UInt8>(masksOf: 3)
      var search = search
      _ = try withExtendedLifetime((numbers, masks)) {
        try search.step(
          weights: numbers.tensors([3]), gradients: numbers.tensors([3]), previous: nil,
          masks: masks.masks([3]), averages: averages)
      }
    }
    let (narrow, short) = (Stored(.float32, [0, 0, 0]), Stored(.float64, [0, 0]))
    withExtendedLifetime((narrow, short)) {
      #expect(throws: SFError.sizeMismatch(.averages, tensor: nil, got: 0, expected: 1)) {
        try step(nil)
      }
      #expect(throws: SFError.sizeMismatch(.averages, tensor: 0, got: 2, expected: 3)) {
        try step(short.mutableTensors([2]))
      }
      #expect(throws: SFError.badType(.averages, tensor: 0, got: .float32, expected: .float64)) {
        try step(narrow.mutableTensors([3]))
      }
    }
  }

  @Test func averagesThatAreNotFiniteAreNamed() throws {
    let numbers = Stored(.float32, [1, 2, 3])
    let averages = Stored(.float32, [0, .nan, .infinity])
    let masks = Memory<UInt8>(masksOf: 3)
    let result = withExtendedLifetime((numbers, averages, masks)) {
      Result { () throws(SFError) in
        var search = try Search(
          .force, sizes: [3], keep: 1, steps: 2, damping: Damping(momentum: 0.5))
        return try search.step(
          weights: numbers.tensors([3]), gradients: numbers.tensors([3]), previous: nil,
          masks: masks.masks([3]), averages: averages.mutableTensors([3]))
      }
    }
    guard case .failure(.nonFinite(let found)) = result else {
      Issue.record("no error")
      return
    }
    #expect(found.operand == .averages && found.firstIndex == 1 && found.count == 2)
  }
}
