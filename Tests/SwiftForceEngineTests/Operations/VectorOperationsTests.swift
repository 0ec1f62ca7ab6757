// Each loop of the kernels against a plain one, at lengths around every vector width.

import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

struct VectorOperationsTests {
  static let lengths = [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 64, 129]

  @Test(arguments: lengths)
  func scalesDoubles(count: Int) throws {
    let source: [Double] = uniform(count, seed: 1)
    let target = try Arena<Float>(count: count)
    target.all.assign(source, scaledBy: 0.3)
    #expect(target.values == source.map { Float($0 * 0.3) })
  }

  @Test(arguments: lengths)
  func fillsColumnsWithOneValuePerRow(columns: Int) throws {
    let target = try Arena<Float>(count: 3 * columns)
    let values = try Arena<Float>([1, -2, 3])
    target.all.matrix(rows: 3, columns: columns).fillColumns(with: values.all)
    let expected = [1, -2, 3].flatMap { [Float](repeating: $0, count: columns) }
    #expect(target.values == expected)
  }

  @Test(arguments: lengths, [false, true])
  func sumsChannels(batch: Int, accumulate: Bool) throws {
    let batch = batch + 1
    let shape = Shape(dimensions: [3, 2, 1])
    let matrix = try Arena<Double>(uniform(6 * Shape.padded(batch: batch), seed: 2))
    let gradient = Activation(matrix.all, shape: shape, batch: batch)
    gradient.clearGap()
    let target = try Arena<Double>([10, 20, 30])
    target.all.assignChannelSums(of: gradient, accumulate: accumulate)
    let samples = gradient.samples
    for row in 0..<3 {
      let sum = samples[row * 2 * batch..<(row + 1) * 2 * batch].reduce(0, +)
      let expected = accumulate ? Double(10 * (row + 1)) + sum : sum
      #expect((target.values[row] - expected).magnitude < 1e-13)
    }
  }

  @Test(arguments: lengths)
  func rectifies(count: Int) throws {
    let source = try Arena<Float>(uniform(count, seed: 3))
    let target = try Arena<Float>(count: count)
    target.all.assignRectified(source.all)
    #expect(target.values == source.values.map { Swift.max($0, 0) })
  }

  @Test func rectifierPropagatesNonFiniteValues() throws {
    let source = try Arena<Float>([.nan, .infinity, -.infinity, -0.0])
    let target = try Arena<Float>(count: 4)
    target.all.assignRectified(source.all)
    #expect(target.values[0].isNaN)
    #expect(target.values.dropFirst() == [.infinity, 0, 0])
  }

  @Test(arguments: lengths)
  func rectifierGradientIsZeroWhereTheOutputIs(count: Int) throws {
    let output = try Arena<Float>((0..<count).map { $0.isMultiple(of: 3) ? 0 : 0.5 })
    let gradient = try Arena<Float>(uniform(count, seed: 4))
    let target = try Arena<Float>(count: count)
    target.all.assignRectifierGradient(gradient.all, output: output.all)
    #expect(target.values == zip(output.values, gradient.values).map { $0 > 0 ? $1 : 0 })
  }

  @Test(arguments: [1, 5, 8, 13, 16, 24], [1, 2, 7, 8, 9, 20, 35])
  func writesSamples(rows: Int, columns: Int) throws {
    let matrix = try Arena<Float>(uniform(rows * Shape.padded(batch: columns), seed: 5))
    let target = try Arena<Float>(count: rows * columns)
    for dimensions in [[rows], [rows, 1, 1]] {
      let shape = Shape(dimensions: dimensions)
      let activation = Activation(matrix.all, shape: shape, batch: columns)
      activation.writeSamples(to: target.all)
      let samples = activation.samples
      let expected = (0..<columns).flatMap { column in
        (0..<rows).map { samples[$0 * columns + column] }
      }
      #expect(target.values == expected)
    }
  }

  /// A selection by bits: removed positions become +0 whatever they hold, and kept positions do not
  /// change, including the sign of a zero and the bits of a NaN.
  @Test(arguments: lengths)
  func clearsByBits(count: Int) throws {
    let patterns: [Float] = [
      1, -0.0, .nan, .infinity, -.infinity, .leastNonzeroMagnitude, Float(nan: 5, signaling: false),
    ]
    let before = (0..<count).map { patterns[$0 % patterns.count] }
    let mask = try Arena<UInt8>((0..<count).map { UInt8($0 / 2 % 2) })
    let values = try Arena<Float>(before)
    values.all.clear(whereRemovedBy: mask.all)
    let expected = zip(before, mask.values).map { $1 == 0 ? 0 : $0.bitPattern }
    #expect(values.values.map(\.bitPattern) == expected)
  }
}
