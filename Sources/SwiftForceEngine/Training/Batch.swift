// The samples of one call, in the caller's memory, and the checks that make them safe to use. What
// must not live here: anything about layers.

import SwiftForceCore
import SwiftForceKernels

/// Samples of a data set that the caller owns. Row r is inputs[r * features ...] with label
/// labels[r]. The batch uses the rows rows[0], rows[1], ..., or 0, 1, ... without a list. A row may
/// occur more than once.
///
/// Creating a batch is the unsafe operation: the code that does so guarantees that the memory is
/// valid while the batch is in use.
@safe public struct Batch<Element: Scalar> {
  private let inputs: UnsafePointer<Element>
  private let labels: UnsafePointer<Int64>?
  private let rows: UnsafePointer<Int64>?
  /// The number of rows of the data set.
  public let samples: Int
  /// The number of elements of a row.
  public let features: Int
  /// The number of rows used.
  public let count: Int

  /// - Parameters:
  ///   - inputs: samples x features, row by row.
  ///   - labels: `samples` of them; nil if the call needs none.
  ///   - rows: `count` row numbers in 0 ..< samples; nil: 0 ..< count.
  @unsafe public init(
    inputs: UnsafePointer<Element>, labels: UnsafePointer<Int64>?, rows: UnsafePointer<Int64>?,
    samples: Int, features: Int, count: Int
  ) {
    unsafe self.inputs = inputs
    unsafe self.labels = labels
    unsafe self.rows = rows
    self.samples = samples
    self.features = features
    self.count = count
  }
}

/// The result of a network on a batch.
public struct BatchResult: Sendable, Equatable {
  /// Mean cross entropy over the batch. Every sample has the same weight.
  public var loss: Double
  /// The number of samples whose largest output is at the label. If several outputs are largest,
  /// the first one counts. A sample with a NaN output is not correct.
  public var correct: Int

  public init(loss: Double, correct: Int) {
    self.loss = loss
    self.correct = correct
  }
}

/// A batch whose row numbers and labels were copied before they were checked, so that they stay
/// valid even if another thread writes to the caller's arrays.
@safe struct CheckedBatch<Element: Scalar> {
  private let inputs: UnsafePointer<Element>
  private let features: Int
  /// The rows to use; nil: the first ones.
  private let rows: [Int64]?
  /// The label of each sample used; empty if the call needs none.
  private let labels: [Int64]
  let count: Int

  fileprivate init(
    inputs: UnsafePointer<Element>, features: Int, rows: [Int64]?, labels: [Int64], count: Int
  ) {
    unsafe self.inputs = inputs
    self.features = features
    self.rows = rows
    self.labels = labels
    self.count = count
  }
}

extension Batch {
  /// Checks the batch, except the values of its inputs.
  ///
  /// - Throws: `.badCount` without samples, `.sizeMismatch` for features or missing labels,
  ///   `.badRow`, `.badLabel` (with the index in the array of labels).
  func checked(
    features expected: Int, classes: Int, needsLabels: Bool
  ) throws(SFError) -> CheckedBatch<Element> {
    guard count >= 1 else { throw .badCount(count) }
    guard features == expected else {
      throw .sizeMismatch(.inputs, tensor: nil, got: features, expected: expected)
    }
    guard samples >= 0, !samples.multipliedReportingOverflow(by: features).overflow else {
      throw .badCount(samples)
    }
    let rows = try checkedRows()
    let labels = needsLabels ? try checkedLabels(of: rows, classes: classes) : []
    return unsafe CheckedBatch(
      inputs: inputs, features: features, rows: rows, labels: labels, count: count)
  }

  private func checkedRows() throws(SFError) -> [Int64]? {
    guard let rows = unsafe rows else {
      guard count <= samples else {
        throw .badRow(index: samples, row: samples, samples: samples)
      }
      return nil
    }
    let copies = unsafe Array(UnsafeBufferPointer(start: rows, count: count))
    for (i, row) in copies.enumerated() where row < 0 || row >= samples {
      throw .badRow(index: i, row: Int(row), samples: samples)
    }
    return copies
  }

  private func checkedLabels(of rows: [Int64]?, classes: Int) throws(SFError) -> [Int64] {
    guard let labels = unsafe labels else {
      throw .sizeMismatch(.labels, tensor: nil, got: 0, expected: samples)
    }
    var copies: [Int64] = []
    copies.reserveCapacity(count)
    for i in 0..<count {
      let row = rows.map { Int($0[i]) } ?? i
      let label = unsafe labels[row]
      guard label >= 0, label < classes else {
        throw .badLabel(index: row, label: Int(label), classes: classes)
      }
      copies.append(label)
    }
    return copies
  }
}

extension CheckedBatch {
  /// Writes the samples in `range`, and zeros where there is no sample.
  func gather(_ range: Range<Int>, into target: Activation<Element>) {
    assert(target.features == features && target.batch == range.count, "another size")
    for block in 0..<target.blocks {
      let part = target.part(block: block)
      let samples = target.samples(ofBlock: block)
      if samples.count < target.lanes { part.clear(0..<part.count) }
      gather(range.lowerBound + samples.lowerBound, samples.count, into: part, target.lanes)
    }
  }

  /// Writes some samples as columns of rows of `lanes` elements.
  private func gather(_ first: Int, _ count: Int, into target: Vector<Element>, _ lanes: Int) {
    guard let rows else {
      unsafe Element.gatherTransposed(
        inputs + first * features, sourceStride: features, features: features, rows: nil,
        count: count, into: target.base, targetStride: lanes)
      return
    }
    unsafe rows.withUnsafeBufferPointer { rows in
      guard let base = rows.baseAddress else { return }
      unsafe Element.gatherTransposed(
        inputs, sourceStride: features, features: features, rows: base + first, count: count,
        into: target.base, targetStride: lanes)
    }
  }

  /// Writes the labels of the samples in `range`. The batch must have been checked with labels.
  func gatherLabels(_ range: Range<Int>, into target: Vector<Int64>) {
    for (column, i) in range.enumerated() { unsafe target.base[column] = labels[i] }
  }
}
