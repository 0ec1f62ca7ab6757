// The rectifier's values. LayerTests checks its gradients away from zero.

import Testing

@testable import SwiftForceEngine

struct ReLUTests {
  @Test func isTheLargerOfInputAndZero() throws {
    let bench = try LayerBench<Double>(LayerCase(.relu, [3]), batch: 2)
    bench.inputs[0].all.write([-1, 2, 0, -0.0, 0.5, -7])
    bench.run()
    #expect(bench.output.values == [0, 2, 0, 0, 0.5, 0])
    let g = bench.outputGradient.values
    #expect(bench.inputGradients[0].values == [0, g[1], 0, 0, g[4], 0])
  }

  @Test func keepsTheShapeAndHasNoParameters() throws {
    let shape = Shape(dimensions: [2, 3, 4])
    let layer = try LayerDescription.relu.makeLayer([shape])
    #expect(layer.outputShape == shape)
    #expect(layer.parameters.isEmpty)
  }
}
