// Flattening keeps the order in memory.

import Testing

@testable import SwiftForceEngine

struct FlattenTests {
  @Test func keepsTheNumbersAndTheirOrder() throws {
    let bench = try LayerBench<Double>(LayerCase(.flatten, [2, 3, 2]), batch: 4)
    bench.run()
    #expect(bench.layer.outputShape == Shape(dimensions: [12]))
    #expect(bench.output.values == bench.inputs[0].values)
    #expect(bench.inputGradients[0].values == bench.outputGradient.values)
  }
}
