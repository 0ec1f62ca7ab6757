// Flattening keeps the order of features, whatever their order in memory.

import Testing

@testable import SwiftForceEngine

struct FlattenTests {
  @Test(arguments: [4, 16, 40])
  func keepsTheNumbersAndTheirOrder(batch: Int) throws {
    let bench = try LayerBench<Double>(LayerCase(.flatten, [2, 3, 2]), batch: batch)
    bench.run()
    #expect(bench.layer.outputShape == Shape(dimensions: [12]))
    let (image, features) = (bench.inputShape, bench.layer.outputShape)
    #expect(bench.samples(bench.output, features) == bench.samples(bench.inputs[0], image))
    #expect(
      bench.samples(bench.inputGradients[0], image)
        == bench.samples(bench.outputGradient, features))
  }
}
