// Weights, gradients and scores that are not finite: the error names them exactly, at every
// position, type, CPU level and number of threads, and a selection that fails changes nothing else.

import Testing

@testable import SwiftForceCore

/// What is not finite.
private enum NonFiniteOperand: CaseIterable {
  case weight, gradient, product
}

private let sizes = [1025, 2 * Chunk.largestCount + 1]

/// The positions that are tried: around the limits of a block and of a chunk, and at both ends.
private func positions(of count: Int) -> [Int] {
  let edge = min(count - 1, Chunk.largestCount)
  return [0, 1023, 1024, edge - 1, edge, count - 1]
}

private let values: [Double] = [.nan, .infinity, -.infinity]

private let axes = [
  ElementType.allCases.count, ElementType.allCases.count, NonFiniteOperand.allCases.count,
  values.count,
  positions(of: sizes[0]).count, PreviousMask.allCases.count, Trial.splitCount, 2,
  CPULevel.available.count, 4, sizes.count,
]

/// The largest power of two that a type holds.
private func greatestPower(_ type: ElementType) -> Double {
  switch type {
  case .float16: 0x1p15
  case .bfloat16, .float32: 0x1p127
  case .float64: 0x1p1023
  }
}

@Suite struct FiniteCheckTests {
  @Test(arguments: pairwise(axes, seed: 4))
  func whatIsNotFiniteIsNamed(row: [Int]) throws {
    let trial = Trial(
      count: sizes[row[10]], source: .products, weightType: ElementType.allCases[row[0]],
      gradientType: ElementType.allCases[row[1]], before: PreviousMask.allCases[row[5]], keep: 2,
      split: row[6], writesMasked: row[7] == 1, level: CPULevel.available[row[8]],
      threads: row[9] + 1)
    var inputs = trial.inputs
    // The last weight is not finite, either, so the count must be right if one tensor has both.
    let places = Set([positions(of: trial.count)[row[4]], trial.count - 1]).sorted()
    let operand = NonFiniteOperand.allCases[row[2]]
    if operand != .gradient {
      let value = operand == .weight ? values[row[3]] : greatestPower(trial.weightType)
      inputs.weights = replacing(inputs.weights, places, value)
    }
    if operand != .weight {
      let value = operand == .gradient ? values[row[3]] : greatestPower(trial.gradientType)
      inputs.gradients = replacing(inputs.gradients, places, value)
    }
    let scores = trial.scores(inputs.weights, inputs.gradients)
    let named = places.filter { place in
      operand != .product
        || !scores[place].isFinite && (trial.before != .nested || inputs.previous?[place] == 1)
    }
    guard let first = named.first else {
      // The product is finite after all, or its weight does not compete.
      var outcome = try trial.outcome(inputs)
      let expected = trial.expected(inputs, passes: outcome.report.passes)
      #expect(agree(outcome.report, expected.report))
      outcome.report = expected.report
      #expect(outcome == expected)
      return
    }
    let (tensor, start) = tensor(of: first, trial.sizes)
    let error = failure { _ = try trial.outcome(inputs) }
    guard case .nonFinite(let found) = error else {
      Issue.record("\(String(describing: error)) from \(trial)")
      return
    }
    #expect(
      found.operand == [.weight: .weights, .gradient: .gradients, .product: .scores][operand])
    #expect(found.tensor == tensor)
    #expect(found.firstIndex == first - start)
    #expect(found.count == named.count { $0 < start + trial.sizes[tensor] })
    let value = operand == .product ? Double.infinity : values[row[3]]
    #expect(value.isNaN ? found.value.isNaN : found.value.magnitude == value.magnitude)
  }

  private func replacing(_ stored: Stored, _ places: [Int], _ value: Double) -> Stored {
    var bits = stored.bits
    for place in places { bits[place] = Stored.encoded(value, stored.type) }
    return Stored(stored.type, bits: bits)
  }

  /// The index of the tensor that holds a position, and where the tensor starts.
  private func tensor(of position: Int, _ sizes: [Int]) -> (Int, start: Int) {
    var start = 0
    for (tensor, size) in sizes.enumerated() {
      if position < start + size { return (tensor, start) }
      start += size
    }
    return (sizes.count, start)
  }
}
