// The rectifier's values; its gradients away from zero are proven in LayerTests.

import Testing

@testable import SwiftForceEngine

struct ReLUTests {
  @Test func isTheLargerOfInputAndZero() throws {
    let bench = try LayerBench(.relu, inputs: 3, batch: 2)
    bench.input.all.write([-1, 2, 0, -0.0, 0.5, -7])
    bench.backward(accumulates: false)
    #expect(bench.output.values == [0, 2, 0, 0, 0.5, 0])
    let g = bench.outputGradient.values
    #expect(bench.inputGradient.values == [0, g[1], 0, 0, g[4], 0])
  }

  @Test func keepsTheShapeAndHasNoParameters() throws {
    let layer = try LayerDescription.relu.makeLayer(at: 0)
    let shape = Shape(dimensions: [2, 3, 4])
    #expect(layer.outputShape(for: shape) == shape)
    #expect(layer.inputShape == nil)
    #expect(layer.parameters.isEmpty)
  }
}
