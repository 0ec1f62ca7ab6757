// What holds for every layer, walked over all kinds: a new kind is covered the day it is added.

import Testing

@testable import SwiftForceEngine

struct LayerTests {
  /// A description of each kind that takes seven features.
  private func describe(_ kind: LayerKind) -> LayerDescription {
    switch kind {
    case .linear: .linear(7, 5)
    case .relu: .relu
    }
  }

  @Test(arguments: LayerKind.allCases, [1, 2, 8, 11])
  func gradientsAreTheSlopes(kind: LayerKind, batch: Int) throws {
    let bench = try LayerBench(describe(kind), inputs: 7, batch: batch)
    bench.backward(accumulates: false)
    let slopes = centralDifferences(of: bench.objective, by: bench.input.all)
    #expect(relativeError(bench.inputGradient.values, slopes) < 1e-8)
    for (parameter, gradient) in zip(bench.parameters, bench.parameterGradients) {
      let slopes = centralDifferences(of: bench.objective, by: parameter.all)
      #expect(relativeError(gradient.values, slopes) < 1e-8)
    }
  }

  @Test(arguments: LayerKind.allCases)
  func gradientsAddUpWhereAsked(kind: LayerKind) throws {
    let bench = try LayerBench(describe(kind), inputs: 7, batch: 6)
    bench.backward(accumulates: false)
    let once = bench.parameterGradients.map(\.values)
    let input = bench.inputGradient.values
    bench.backward(accumulates: true)
    for (gradient, once) in zip(bench.parameterGradients, once) {
      #expect(relativeError(gradient.values, once.map { 2 * $0 }) < 1e-14)
    }
    #expect(bench.inputGradient.values == input)
  }

  /// A gradient that nobody asked for is not needed for the others.
  @Test(arguments: LayerKind.allCases)
  func unwantedGradientsAreLeftOut(kind: LayerKind) throws {
    let bench = try LayerBench(describe(kind), inputs: 7, batch: 6)
    bench.backward(accumulates: false)
    let input = bench.inputGradient.values
    let parameters = bench.parameterGradients.map(\.values)
    bench.forgetGradients()
    bench.backward(accumulates: false, wantsParameters: false)
    #expect(bench.inputGradient.values == input)
    #expect(bench.parameterGradients.allSatisfy { $0.values.allSatisfy { $0.isNaN } })
    bench.forgetGradients()
    bench.backward(accumulates: false, wantsInput: false)
    #expect(bench.inputGradient.values.allSatisfy { $0.isNaN })
    #expect(bench.parameterGradients.map(\.values) == parameters)
  }

  @Test(arguments: LayerKind.allCases)
  func nonFiniteInputsComeOut(kind: LayerKind) throws {
    let bench = try LayerBench(describe(kind), inputs: 7, batch: 4)
    bench.input.all.write(.nan, at: 4 * 3 + 2)
    _ = bench.objective()
    let columns = bench.output.values.enumerated().filter(\.element.isNaN).map { $0.offset % 4 }
    #expect(Set(columns) == [2])
  }
}

/// One layer with the memory to run it: random input and parameters, and the objective
/// sum(output * outputGradient), whose slopes are the layer's gradients.
final class LayerBench {
  let layer: any Layer
  let batch: Int
  let input: Arena<Double>
  let output: Arena<Double>
  let parameters: [Arena<Double>]
  let outputGradient: Arena<Double>
  let inputGradient: Arena<Double>
  let parameterGradients: [Arena<Double>]

  init(_ description: LayerDescription, inputs: Int, batch: Int) throws {
    layer = try description.makeLayer(at: 0)
    self.batch = batch
    let outputs = layer.outputShape(for: Shape(dimensions: [inputs])).features
    input = try Arena(uniform(inputs * batch, seed: 21))
    output = try Arena(count: outputs * batch)
    outputGradient = try Arena(uniform(outputs * batch, seed: 22))
    inputGradient = try Arena(count: inputs * batch)
    let sizes = layer.parameters.map { $0.shape.reduce(1, *) }
    parameters = try sizes.enumerated().map { i, size in
      try Arena(uniform(size, seed: UInt64(30 + i)))
    }
    parameterGradients = try sizes.map { try Arena(count: $0) }
    forgetGradients()
  }

  private var pass: Pass<Double> {
    Pass(
      input: input.all.matrix(rows: input.count / batch, columns: batch),
      output: output.all.matrix(rows: output.count / batch, columns: batch),
      parameters: parameters.map(\.all))
  }

  func objective() -> Double {
    layer.forward(pass)
    return zip(output.values, outputGradient.values).reduce(0) { $0 + $1.0 * $1.1 }
  }

  func backward(accumulates: Bool, wantsInput: Bool = true, wantsParameters: Bool = true) {
    layer.forward(pass)
    let gradient = inputGradient.all.matrix(rows: inputGradient.count / batch, columns: batch)
    layer.backward(
      pass,
      BackwardPass(
        outputGradient: outputGradient.all.matrix(
          rows: outputGradient.count / batch, columns: batch),
        inputGradient: wantsInput ? gradient : nil,
        parameterGradients: parameterGradients.map { wantsParameters ? $0.all : nil },
        accumulates: accumulates))
  }

  func forgetGradients() {
    for arena in parameterGradients + [inputGradient] { arena.all.fill(with: .nan) }
  }
}
