// The losses: values, gradients, ties, temperatures, and logits at the ends of the range.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

struct LossTests {
  /// - Parameter logits: (classes, labels.count), row by row.
  private func loss<Element: BLASScalar>(
    _ logits: [Element], labels: [Int64], weight: Double = 1, isImage: Bool = false,
    of kind: Loss = .crossEntropy
  ) throws -> (result: BatchResult, gradient: [Element]) {
    let columns = labels.count
    let classes = logits.count / columns
    let shape = Shape(dimensions: isImage ? [classes, 1, 1] : [classes])
    let memory = try (0..<2).map { _ in
      try Arena([Element](repeating: .nan, count: classes * Shape.padded(batch: columns)))
    }
    let views = memory.map { Activation($0.all, shape: shape, batch: columns) }
    views[0].write(samples: logits)
    let labels = try Arena(labels)
    let workspace = try Arena<Element>(count: 2 * columns)
    let loss = BatchLoss(
      loss: kind, logits: views[0], labels: labels.all, workspace: workspace.all)
    let result = loss.sum(gradient: views[1], weight: weight)
    #expect(identical(loss.sum(gradient: nil, weight: weight), result))
    #expect(areExactZeros(views[1].gapNumbers))
    return withExtendedLifetime((memory, labels, workspace)) { (result, views[1].samples) }
  }

  /// Equal, where NaN equals NaN.
  private func identical(_ a: BatchResult, _ b: BatchResult) -> Bool {
    a.correct == b.correct && a.loss.bitPattern == b.loss.bitPattern
  }

  @Test func knownValues() throws {
    let equal = try loss([2.0, 2, 2, 2], labels: [3])
    #expect((equal.result.loss - log(4)).magnitude < 1e-15)
    #expect(equal.gradient == [0.25, 0.25, 0.25, -0.75])
    // Odds of 3 to 1 for class 0, in two columns with different labels.
    let odds = try loss([log(3.0), log(3.0), 0, 0], labels: [0, 1], weight: 0.5)
    #expect((odds.result.loss - (log(4.0 / 3) + log(4.0))).magnitude < 1e-15)
    let expected = [-0.125, 0.375, 0.125, -0.375]
    #expect(relativeError(odds.gradient, expected) < 1e-15)
    #expect(odds.result.correct == 1)
  }

  @Test(arguments: [1, 2, 7, 8, 9, 16, 33], [false, true])
  func gradientIsTheDerivative(columns: Int, isImage: Bool) throws {
    let logits = try Arena<Double>(uniform(5 * columns, seed: 1))
    let labels = (0..<columns).map { Int64($0 * 3 % 5) }
    let weight = 1 / Double(columns)
    let got = try loss(logits.values, labels: labels, weight: weight, isImage: isImage).gradient
    let slopes = try centralDifferences(
      of: { try loss(logits.values, labels: labels, isImage: isImage).result.loss * weight },
      by: logits.all)
    #expect(relativeError(got, slopes) < 1e-7)
  }

  @Test(arguments: [0.25, 1, 3, 100])
  func temperatureDividesTheLogits(temperature: Double) throws {
    let logits = try Arena<Double>(uniform(5 * 9, seed: 1)).values
    let labels = (0..<9).map { Int64($0 * 3 % 5) }
    let kind = try Loss(.crossEntropy, temperature: temperature)
    let got = try loss(logits, labels: labels, of: kind)
    let expected = try loss(logits.map { $0 / temperature }, labels: labels)
    #expect((got.result.loss - expected.result.loss).magnitude < 1e-12 * expected.result.loss)
    #expect(got.result.correct == expected.result.correct)
    #expect(relativeError(got.gradient, expected.gradient.map { $0 / temperature }) < 1e-12)
  }

  @Test(arguments: [1, 2, 8, 16, 33], [false, true])
  func targetLogit(columns: Int, isImage: Bool) throws {
    let logits = try Arena<Double>(uniform(5 * columns, seed: 1)).values
    let labels = (0..<columns).map { Int64($0 * 3 % 5) }
    let kind = try Loss(.targetLogit, temperature: 1)
    let got = try loss(logits, labels: labels, weight: 0.5, isImage: isImage, of: kind)
    let places = labels.enumerated().map { Int($1) * columns + $0 }
    #expect((got.result.loss + places.reduce(0) { $0 + logits[$1] }).magnitude < 1e-12)
    #expect(
      got.gradient == logits.indices.map { places.contains($0) ? -0.5 : 0 })
    let cross = try loss(logits, labels: labels, isImage: isImage)
    #expect(got.result.correct == cross.result.correct)
  }

  @Test func settingsThatAreRefused() {
    for temperature in [0, -1, .nan, .infinity, 1e-300, 1e300] as [Double] {
      #expect(throws: SFError.self) { try Loss(.crossEntropy, temperature: temperature) }
    }
    #expect(throws: SFError.self) { try Loss(.targetLogit, temperature: 2) }
  }

  @Test func isStableForLargeLogits() throws {
    let far = try loss([Float(3e38), -3e38, 0], labels: [1])
    #expect(far.result.loss == Double(Float(3e38)) * 2)
    #expect(far.gradient == [1, -1, 0])
    let shifted = try loss([Float(10_000), 10_001, 10_002], labels: [2])
    let plain = try loss([Float(0), 1, 2], labels: [2])
    #expect(shifted.result == plain.result)
    #expect(shifted.gradient == plain.gradient)
  }

  @Test func firstOfSeveralLargestCounts() throws {
    let ties: [Float] = [1, 5, 5]
    #expect(try loss(ties, labels: [1]).result.correct == 1)
    #expect(try loss(ties, labels: [2]).result.correct == 0)
    #expect(try loss(ties, labels: [0]).result.correct == 0)
    #expect(try loss([Float(0), -0.0], labels: [0]).result.correct == 1)
    #expect(try loss([Float(0), -0.0], labels: [1]).result.correct == 0)
  }

  @Test(arguments: [[.nan, 1, 2], [1, .nan, 2], [1, 2, .nan], [1, 2, .infinity]] as [[Double]])
  func nonFiniteLogitsShowInTheLossAndAreNeverCorrect(logits: [Double]) throws {
    for label in 0..<3 {
      let (result, gradient) = try loss(logits, labels: [Int64(label)])
      #expect(result.loss.isNaN)
      #expect(result.correct == 0)
      #expect(gradient.contains { $0.isNaN })
    }
  }

  @Test func negativeInfinityIsAnImpossibleClass() throws {
    let (result, gradient) = try loss([0, -Double.infinity], labels: [0])
    #expect(result == BatchResult(loss: 0, correct: 1))
    #expect(gradient == [0, 0])
    #expect(try loss([0, -Double.infinity], labels: [1]).result.loss == .infinity)
  }
}
