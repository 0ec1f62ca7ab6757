// A test bench for one layer: all the memory that it needs to run forward and backward. What must
// not live here: expected results.

import SwiftForceCore
import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

/// A layer and its input shape.
struct LayerCase: Sendable, CustomTestStringConvertible {
  let description: LayerDescription
  let shape: Shape
  let normalization: Normalization

  init(
    _ description: LayerDescription, _ dimensions: [Int], by normalization: Normalization = .batch
  ) {
    self.description = description
    shape = Shape(dimensions: dimensions)
    self.normalization = normalization
  }

  var testDescription: String {
    let (layer, extents) = (description, shape.dimensions.map(String.init).joined(separator: "x"))
    let sizes = "\(layer.inputs) \(layer.outputs) kernel \(layer.kernel) stride \(layer.stride)"
    let others = "padding \(layer.padding) groups \(layer.groups) bias \(layer.hasBias)"
    return "\(layer.kind.name) \(sizes) \(others) of \(extents) by \(normalization)"
  }

  /// Whether a sample's output depends on other samples.
  var couplesSamples: Bool { description.kind == .batchNorm2d && normalization == .batch }
}

/// A layer with random input and parameters, and the objective sum(output * outputGradient), whose
/// derivatives are the layer's gradients. Memory that the layer has not written holds NaN.
final class LayerBench<Element: BLASScalar> {
  var layer: any Layer
  let normalization: Normalization
  let batch: Int
  let inputShape: Shape
  /// One, or two for `add`.
  let inputs: [Arena<Element>]
  let output: Arena<Element>
  let parameters: [Arena<Element>]
  let outputGradient: Arena<Element>
  let inputGradients: [Arena<Element>]
  let parameterGradients: [Arena<Element>]
  let saved: Arena<Element>
  private let workspace: Arena<Element>
  private let workspaceCount: Int
  private let context: ExecutionContext<Element>

  init(_ form: LayerCase, batch: Int, level: CPULevel = .v2, workers: Int = 1) throws {
    let sources = form.description.kind == .add ? 2 : 1
    layer = try form.description.makeLayer([Shape](repeating: form.shape, count: sources))
    normalization = form.normalization
    self.batch = batch
    context = ExecutionContext(team: Team(workers: workers), tiles: Element.tiles(at: level))
    let padded = Shape.padded(batch: batch)
    let (size, outputs) = (form.shape.features * padded, layer.outputShape.features * padded)
    inputShape = form.shape
    inputs = try (0..<sources).map { try Arena(uniform(size, seed: UInt64(21 + $0))) }
    inputGradients = try (0..<sources).map { _ in try Arena(count: size) }
    output = try Arena(count: outputs)
    outputGradient = try Arena(uniform(outputs, seed: 25))
    let sizes = layer.parameters.map { $0.shape.reduce(1, *) }
    parameters = try zip(sizes, layer.parameters).enumerated().map { i, parameter in
      let values: [Element] = uniform(parameter.0, seed: UInt64(30 + i))
      return try Arena(parameter.1.role == .variance ? values.map { $0 + 1.5 } : values)
    }
    parameterGradients = try sizes.map { try Arena(count: $0) }
    saved = try Arena(count: layer.needs.saved)
    workspaceCount = layer.workspace(batch: batch, context)
    workspace = try Arena(count: workspaceCount + 64)
    workspace.all.fill(with: -77)
    activation(outputGradient, layer.outputShape).clearGap()
    forget()
  }

  /// The numbers of the samples, as (features, batch).
  func samples(_ arena: Arena<Element>, _ shape: Shape) -> [Element] {
    withExtendedLifetime(arena) { activation(arena, shape).samples }
  }

  func pass(output target: Arena<Element>? = nil) -> Pass<Element> {
    Pass(
      input: activation(inputs[0], inputShape),
      addend: inputs.count > 1 ? activation(inputs[1], inputShape) : nil,
      output: activation(target ?? output, layer.outputShape), parameters: parameters.map(\.all),
      sparse: nil,
      saved: saved.all,
      normalization: normalization, workspace: workspace.vector(at: 0, count: workspaceCount),
      context: context)
  }

  func forward() { layer.forward(pass()) }

  func objective() -> Double {
    forward()
    return zip(output.values, outputGradient.values).reduce(0) { $0 + Double($1.0 * $1.1) }
  }

  /// - Parameter target: where the first input's gradient is written; nil: its own memory.
  func backward(
    accumulates: Bool, wantsInput: Bool = true, wantsParameters: Bool = true,
    into target: Arena<Element>? = nil
  ) {
    layer.backward(
      pass(),
      BackwardPass(
        outputGradient: activation(outputGradient, layer.outputShape),
        inputGradient: wantsInput ? activation(target ?? inputGradients[0], inputShape) : nil,
        addendGradient: wantsInput && inputs.count > 1
          ? activation(inputGradients[1], inputShape) : nil,
        parameterGradients: gradientPlaces(wantsParameters), keptGradient: nil,
        accumulates: accumulates))
  }

  func run() {
    forward()
    backward(accumulates: false)
  }

  /// Running statistics have no gradients, as in a network.
  private func gradientPlaces(_ areWanted: Bool) -> [Vector<Element>?] {
    zip(parameterGradients, layer.parameters).map {
      areWanted && $1.role.isTrained ? $0.all : nil
    }
  }

  /// All computed gradients: those of the inputs and of the trained parameters.
  var gradients: [[Element]] { inputGradients.map(\.values) + trainedGradients }

  var trainedGradients: [[Element]] {
    zip(parameterGradients, layer.parameters).compactMap { $1.role.isTrained ? $0.values : nil }
  }

  /// Sets everything that the layer computes to NaN.
  func forget() {
    forgetGradients()
    workspace.vector(at: 0, count: workspaceCount).fill(with: .nan)
    for arena in [output, saved] { arena.all.fill(with: .nan) }
  }

  func forgetGradients() {
    for arena in parameterGradients + inputGradients { arena.all.fill(with: .nan) }
  }

  /// Whether the layer has written no more scratch memory than it asked for.
  var staysInItsWorkspace: Bool {
    workspace.vector(at: workspaceCount, count: 64).values.allSatisfy { $0 == -77 }
  }

  private func activation(_ arena: Arena<Element>, _ shape: Shape) -> Activation<Element> {
    Activation(arena.all, shape: shape, batch: batch)
  }
}

extension Activation where Element: BLASScalar {
  /// The index of a feature of a sample, by the definition.
  func place(_ feature: Int, _ sample: Int) -> Int {
    ((sample / lanes) * features + feature) * lanes + sample % lanes
  }

  /// The numbers of the samples, as (features, batch).
  var samples: [Element] {
    (0..<features).flatMap { feature in
      (0..<batch).map { elements[place(feature, $0)] }
    }
  }

  /// The numbers that belong to no sample.
  var gapNumbers: [Element] {
    (0..<features).flatMap { feature in
      (batch..<blocks * lanes).map { elements[place(feature, $0)] }
    }
  }

  func write(samples: [Element]) {
    for (i, value) in samples.enumerated() {
      elements.write(value, at: place(i / batch, i % batch))
    }
  }

  func clearGap() {
    for feature in 0..<features {
      for lane in batch..<blocks * lanes { elements.write(0, at: place(feature, lane)) }
    }
  }
}
