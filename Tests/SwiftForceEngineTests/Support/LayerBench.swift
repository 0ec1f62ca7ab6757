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
  let layer: any Layer
  let normalization: Normalization
  let batch: Int
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
    let (size, outputs) = (form.shape.features * batch, layer.outputShape.features * batch)
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
    forget()
  }

  /// The index of one feature of one sample.
  func place(feature: Int, sample: Int) -> Int { feature * batch + sample }

  func pass(output target: Arena<Element>? = nil) -> Pass<Element> {
    Pass(
      input: matrix(inputs[0]), addend: inputs.count > 1 ? matrix(inputs[1]) : nil,
      output: matrix(target ?? output), parameters: parameters.map(\.all), saved: saved.all,
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
        outputGradient: matrix(outputGradient),
        inputGradient: wantsInput ? matrix(target ?? inputGradients[0]) : nil,
        addendGradient: wantsInput && inputs.count > 1 ? matrix(inputGradients[1]) : nil,
        parameterGradients: gradientPlaces(wantsParameters), accumulates: accumulates))
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

  private func matrix(_ arena: Arena<Element>) -> Matrix<Element> {
    arena.all.matrix(rows: arena.count / batch, columns: batch)
  }
}
