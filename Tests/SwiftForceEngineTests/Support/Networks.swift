// Shared by the tests of the engine: memory with values, data sets, access to views, networks of
// several forms. What must not live here: expected results.

import SwiftForceCore
import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

extension Arena {
  convenience init(_ values: [Element]) throws {
    try self.init(count: values.count)
    all.write(values)
  }

  /// Copied inside a method, so that the arena outlives its views.
  var values: [Element] { all.values }
}

extension Vector {
  var values: [Element] { (0..<count).map { unsafe base[$0] } }

  func write(_ values: [Element]) {
    precondition(values.count == count)
    for (i, value) in values.enumerated() { unsafe base[i] = value }
  }

  func write(_ value: Element, at index: Int) {
    precondition(index >= 0 && index < count)
    unsafe base[index] = value
  }
}

extension Network {
  /// All parameters, in order.
  var values: [[Element]] { parameters.map(\.view.values) }

  var weightParameters: [Parameter<Element>] { parameters.filter { $0.role == .weight } }

  var weightValues: [[Element]] { weightParameters.map(\.view.values) }

  func write(_ values: [[Element]]) {
    for (parameter, values) in zip(parameters, values) { parameter.view.write(values) }
  }

  /// Gradients of the weights, in fresh memory.
  func gradients(
    at weights: [[Element]]? = nil, _ batch: Batch<Element>, together: Int? = nil,
    normalization: Normalization = .batch
  ) throws -> (result: BatchResult, values: [[Element]]) {
    let arenas = try weights?.map { try Arena($0) }
    let targets = try weightSizes.map { try Arena([Element](repeating: .nan, count: $0)) }
    let result = try gradients(
      at: arenas?.map(\.all), into: targets.map(\.all), batch: batch, together: together,
      normalization: normalization)
    return withExtendedLifetime(arenas) { (result, targets.map(\.values)) }
  }

  func logits(_ batch: Batch<Element>) throws -> [Element] {
    let target = try Arena([Element](repeating: .nan, count: batch.count * classes))
    try forward(batch: batch, into: target.all)
    return target.values
  }

  func apply(_ masks: [[UInt8]]) throws {
    let arenas = try masks.map { try Arena($0) }
    try apply(masks: arenas.map { unsafe Mask($0.all.base, count: $0.count) })
    withExtendedLifetime(arenas) {}
  }
}

/// A data set with numbers drawn from a seed, and its memory.
final class DataSet<Element: BLASScalar> {
  let inputs: Arena<Element>
  let labels: Arena<Int64>
  let samples: Int
  let features: Int

  init(samples: Int, features: Int, classes: Int, seed: UInt64 = 1) throws {
    var generator = Generator(seed: seed)
    (self.samples, self.features) = (samples, features)
    inputs = try Arena(
      (0..<samples * features).map { _ in Element(generator.nextUniform() * 2 - 1) })
    labels = try Arena((0..<samples).map { _ in Int64(generator.next() % UInt64(classes)) })
  }

  /// - Parameters:
  ///   - rows: the rows to use; nil: none are listed.
  ///   - count, samples, features: what the batch claims, if that should be wrong.
  @discardableResult
  func withBatch<Result>(
    rows: [Int64]? = nil, count: Int? = nil, samples: Int? = nil, features: Int? = nil,
    hasLabels: Bool = true, _ body: (Batch<Element>) throws -> Result
  ) throws -> Result {
    let list = try rows.map { try Arena($0) }
    let batch = unsafe Batch(
      inputs: inputs.all.base, labels: hasLabels ? labels.all.base : nil, rows: list?.all.base,
      samples: samples ?? self.samples, features: features ?? self.features,
      count: count ?? rows?.count ?? self.samples)
    defer { withExtendedLifetime((self, list)) {} }
    return try body(batch)
  }
}

/// The largest difference. Small derivatives of a large network are only as accurate as its loss.
func absoluteError<Element: Scalar>(_ got: [Element], _ expected: [Element]) -> Element {
  guard got.count == expected.count else { return .infinity }
  let errors = zip(got, expected).map { ($0 - $1).magnitude }
  return errors.contains { $0.isNaN } ? .nan : errors.max() ?? 0
}

/// Numbers in -1 ..< 1.
func uniform<Element: Scalar>(_ count: Int, seed: UInt64) -> [Element] {
  var generator = Generator(seed: seed)
  return (0..<count).map { _ in Element(generator.nextUniform() * 2 - 1) }
}

/// Forms of network: one layer, the usual one, a deep one, and rectifiers at both ends.
let architectures: [[LayerDescription]] = [
  [.linear(4, 3)],
  [.linear(5, 6), .relu, .linear(6, 3)],
  [.linear(3, 5), .relu, .linear(5, 4), .relu, .linear(4, 2)],
  [.relu, .linear(3, 3)],
  [.linear(3, 4), .linear(4, 2), .relu],
]

/// A network of images.
struct ImageNetwork: Sendable, CustomTestStringConvertible {
  let name: String
  let shape: [Int]
  let layers: [LayerDescription]

  var testDescription: String { name }

  var features: Int { shape.reduce(1, *) }
}

/// Forms of network with convolutions: a plain one; a residual one; one whose shortcut is a
/// convolution; and one that reads values several times, one of them twice in the same layer.
let imageNetworks = [
  ImageNetwork(
    name: "plain", shape: [2, 5, 4],
    layers: [
      .conv2d(2, 3, kernel: 3, padding: 1, bias: false), .batchNorm2d(3), .relu, .maxPool2d(2),
      .flatten, .linear(12, 3),
    ]),
  ImageNetwork(
    name: "residual", shape: [2, 5, 4],
    layers: [
      .conv2d(2, 3, kernel: 3, padding: 1, bias: false), .batchNorm2d(3), .relu,
      .conv2d(3, 3, kernel: 3, padding: 1), .batchNorm2d(3), .add(2), .relu, .avgPool2d(2),
      .globalAvgPool2d, .linear(3, 2),
    ]),
  ImageNetwork(
    name: "shortcut", shape: [1, 5, 5],
    layers: [
      .conv2d(1, 2, kernel: 2), .relu, .conv2d(2, 2, kernel: 3, stride: 2, padding: 1, groups: 2),
      .batchNorm2d(2), .conv2d(2, 2, kernel: 1, stride: 2).reading(1), .batchNorm2d(2),
      .add(3), .relu, .maxPool2d(2, stride: 1), .linear(2, 3),
    ]),
  ImageNetwork(
    name: "entangled", shape: [2, 3, 3],
    layers: [
      .conv2d(2, 2, kernel: 1), .add(0), .batchNorm2d(2), .relu, .add(0), .relu, .add(1).reading(3),
      .add(-1), .add(5), .flatten, .linear(18, 2),
    ]),
]

/// A network whose parameters differ from their initial values, so that all affect the gradients.
func makeNetwork<Element>(
  _ layers: [LayerDescription], inputShape: [Int]? = nil, seed: UInt64 = 3,
  as: Element.Type = Element.self
) throws -> Network<Element> {
  let network = try Network<Element>(layers: layers, inputShape: inputShape, seed: seed)
  for (i, parameter) in network.parameters.enumerated() where parameter.role != .weight {
    let offset: Element = parameter.role == .scale || parameter.role == .variance ? 1.5 : 0
    let values: [Element] = uniform(parameter.view.count, seed: UInt64(100 + i))
    parameter.view.write(values.map { $0 + offset })
  }
  return network
}

func makeNetwork<Element>(
  _ form: ImageNetwork, seed: UInt64 = 3, as: Element.Type = Element.self
) throws -> Network<Element> {
  try makeNetwork(form.layers, inputShape: form.shape, seed: seed)
}

/// Indices of an array: all of them, or a random choice of at most `limit`.
func places(_ count: Int, atMost limit: Int) -> [Int] {
  guard count > limit else { return Array(0..<count) }
  var generator = Generator(seed: UInt64(count))
  return Array((0..<count).shuffled(using: &generator).prefix(limit))
}

/// The derivatives of `value` by the elements of a view, by central differences.
///
/// - Parameter places: the elements to differentiate by; nil: all of them.
func centralDifferences(
  of value: () throws -> Double, by view: Vector<Double>, at places: [Int]? = nil,
  step: Double = 1e-6
) rethrows -> [Double] {
  var slopes: [Double] = []
  for i in places ?? Array(0..<view.count) {
    let x = view[i]
    view.write(x + step, at: i)
    let above = try value()
    view.write(x - step, at: i)
    let below = try value()
    view.write(x, at: i)
    slopes.append((above - below) / (2 * step))
  }
  return slopes
}

/// The largest difference, relative to the largest number expected; NaN where there is one.
func relativeError<Element: BinaryFloatingPoint>(
  _ got: [Element], _ expected: [Double]
) -> Double {
  guard got.count == expected.count else { return .infinity }
  let scale = expected.map(\.magnitude).max() ?? 0
  let errors = zip(got, expected).map { (Double($0) - $1).magnitude }
  if errors.contains(where: \.isNaN) { return .nan }
  return (errors.max() ?? 0) / Swift.max(scale, .leastNormalMagnitude)
}

/// Whether all are zero with a plus sign.
func areExactZeros<Element: BinaryFloatingPoint>(_ values: [Element]) -> Bool {
  values.allSatisfy { $0 == 0 && $0.sign == .plus }
}
