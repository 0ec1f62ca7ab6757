// The checks of a batch, and the order in which its samples are read.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct BatchTests {
  let data: DataSet<Double>

  init() throws { data = try DataSet(samples: 6, features: 3, classes: 4) }

  private func check(
    rows: [Int64]? = nil, count: Int? = nil, samples: Int? = nil, features: Int? = nil,
    hasLabels: Bool = true, needsLabels: Bool = true
  ) throws {
    try data.withBatch(
      rows: rows, count: count, samples: samples, features: features, hasLabels: hasLabels
    ) { _ = try $0.checked(features: 3, classes: 4, needsLabels: needsLabels) }
  }

  @Test func validBatchesPass() throws {
    try check()
    try check(rows: [5, 0, 0, 5])
    try check(hasLabels: false, needsLabels: false)
  }

  @Test func wrongSizesAreErrors() {
    #expect(throws: SFError.badCount(0)) { try check(rows: []) }
    #expect(throws: SFError.badCount(-1)) { try check(count: -1) }
    #expect(throws: SFError.badCount(Int.max)) { try check(samples: Int.max) }
    #expect(throws: SFError.sizeMismatch(.inputs, tensor: nil, got: 2, expected: 3)) {
      try check(features: 2)
    }
    #expect(throws: SFError.sizeMismatch(.labels, tensor: nil, got: 0, expected: 6)) {
      try check(hasLabels: false)
    }
  }

  @Test func rowsOutsideAreErrors() {
    #expect(throws: SFError.badRow(index: 2, row: 6, samples: 6)) { try check(rows: [0, 5, 6]) }
    #expect(throws: SFError.badRow(index: 0, row: -1, samples: 6)) { try check(rows: [-1, 9]) }
    #expect(throws: SFError.badRow(index: 1, row: .max, samples: 6)) {
      try check(rows: [0, .max])
    }
    #expect(throws: SFError.badRow(index: 6, row: 6, samples: 6)) { try check(count: 7) }
  }

  @Test(arguments: [Int64(-1), 4, .min, .max])
  func labelsOutsideAreErrors(label: Int64) throws {
    data.labels.all.write(label, at: 2)
    let error = SFError.badLabel(index: 2, label: Int(label), classes: 4)
    #expect(throws: error) { try check() }
    #expect(throws: error) { try check(rows: [4, 2]) }
    try check(rows: [0, 1, 3, 4, 5])
    try check(needsLabels: false)
  }

  static let shapes = [Shape(dimensions: [3]), Shape(dimensions: [3, 1, 1])]

  @Test(
    arguments: [nil, [3, 0, 5, 5, 1, 2, 4, 0, 3, 1], (0..<40).map { $0 % 6 }] as [[Int64]?], shapes)
  func gathersSamplesInOrder(rows: [Int64]?, shape: Shape) throws {
    let order = rows ?? [0, 1, 2, 3, 4, 5]
    let range = 1..<order.count
    let target = try Arena<Double>(count: 3 * Shape.padded(batch: range.count))
    target.all.fill(with: .nan)
    let activation = Activation(target.all, shape: shape, batch: range.count)
    let labels = try Arena<Int64>(count: range.count)
    try data.withBatch(rows: rows) { batch in
      let batch = try batch.checked(features: 3, classes: 4, needsLabels: true)
      batch.gather(range, into: activation)
      batch.gatherLabels(range, into: labels.all)
    }
    let inputs = data.inputs.values
    let expected = (0..<3).flatMap { feature in
      range.map { inputs[Int(order[$0]) * 3 + feature] }
    }
    withExtendedLifetime(target) {
      #expect(activation.samples == expected)
      #expect(areExactZeros(activation.gapNumbers))
    }
    #expect(labels.values == range.map { data.labels.values[Int(order[$0])] })
  }

  @Test func laterWritesByTheCallerHaveNoEffect() throws {
    let labels = try Arena<Int64>(count: 6)
    let batch = try data.withBatch(rows: nil) { batch in
      try batch.checked(features: 3, classes: 4, needsLabels: true)
    }
    let before = data.labels.values
    data.labels.all.write(1 << 40, at: 2)
    batch.gatherLabels(0..<6, into: labels.all)
    #expect(labels.values == before)
  }
}
