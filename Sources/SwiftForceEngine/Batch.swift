// The samples of one call, where they lie in the caller's memory, and the checks that make them safe
// to use. What must not live here: anything about layers.

import SwiftForceCore
import SwiftForceKernels

/// Samples of a data set that the caller owns: row r is inputs[r * features ...], with label
/// labels[r]. The rows used are rows[0], rows[1], ..., or 0, 1, ... without a list; a row may occur
/// more than once.
///
/// Making one is the unsafe act: whoever does it vouches for the memory while the batch is in use.
@safe public struct Batch<Element: Scalar> {
  private let inputs: UnsafePointer<Element>
  private let labels: UnsafePointer<Int64>?
  private let rows: UnsafePointer<Int64>?
  /// Rows of the data set.
  public let samples: Int
  /// Numbers of one row.
  public let features: Int
  /// How many rows are used.
  public let count: Int

  /// - Parameters:
  ///   - inputs: samples x features, row by row.
  ///   - labels: `samples` of them; nil where none are needed.
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

/// What a network makes of a batch.
public struct BatchResult: Sendable, Equatable {
  /// Mean cross entropy over the batch; every sample weighs the same.
  public var loss: Double
  /// Samples whose largest output is at the label; where several are largest, the first one
  /// counts. A sample with an output that is NaN is not among them.
  public var correct: Int

  public init(loss: Double, correct: Int) {
    self.loss = loss
    self.correct = correct
  }
}

extension Batch {
  /// Checks everything about the batch except the numbers in it.
  ///
  /// - Throws: `.badCount` without samples, `.sizeMismatch` for features or absent labels,
  ///   `.badRow`, `.badLabel` (with the position in the array of labels).
  func check(features expected: Int, classes: Int, needsLabels: Bool) throws(SFError) {
    guard count >= 1 else { throw .badCount(count) }
    guard features == expected else {
      throw .sizeMismatch(.inputs, tensor: nil, got: features, expected: expected)
    }
    guard samples >= 0, !samples.multipliedReportingOverflow(by: features).overflow else {
      throw .badCount(samples)
    }
    try checkRows()
    if needsLabels { try checkLabels(classes: classes) }
  }

  private func checkRows() throws(SFError) {
    guard let rows = unsafe rows else {
      guard count <= samples else {
        throw .badRow(index: samples, row: samples, samples: samples)
      }
      return
    }
    for i in 0..<count {
      let row = unsafe Int(rows[i])
      guard row >= 0, row < samples else {
        throw .badRow(index: i, row: row, samples: samples)
      }
    }
  }

  private func checkLabels(classes: Int) throws(SFError) {
    guard let labels = unsafe labels else {
      throw .sizeMismatch(.labels, tensor: nil, got: 0, expected: samples)
    }
    for i in 0..<count {
      let row = self.row(i)
      let label = unsafe Int(labels[row])
      guard label >= 0, label < classes else {
        throw .badLabel(index: row, label: label, classes: classes)
      }
    }
  }

  private func row(_ i: Int) -> Int {
    if let rows = unsafe rows { unsafe Int(rows[i]) } else { i }
  }

  /// Writes the samples `range` as columns of a (features, range.count) matrix.
  func gather(_ range: Range<Int>, into target: Matrix<Element>) {
    assert(target.rows == features && target.columns == range.count, "a matrix of another size")
    let start = range.lowerBound
    if let rows = unsafe rows {
      unsafe Element.gatherTransposed(
        inputs, features: features, rows: rows + start, count: range.count,
        into: target.elements.base)
    } else {
      unsafe Element.gatherTransposed(
        inputs + start * features, features: features, rows: nil, count: range.count,
        into: target.elements.base)
    }
  }

  /// Writes the labels of the samples `range`, which must have labels.
  func gatherLabels(_ range: Range<Int>, into target: Vector<Int64>) {
    guard let labels = unsafe labels else { return }
    for (column, i) in range.enumerated() { unsafe target.base[column] = labels[row(i)] }
  }
}
