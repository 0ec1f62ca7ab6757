// The sum's values, and that both branches get its gradient.

import Testing

@testable import SwiftForceEngine

struct AddTests {
  @Test func isTheSumAndCopiesItsGradient() throws {
    let bench = try LayerBench<Double>(LayerCase(.add(0), [2, 1, 2]), batch: 3)
    bench.run()
    #expect(
      bench.output.values == zip(bench.inputs[0].values, bench.inputs[1].values).map { $0 + $1 })
    #expect(bench.inputGradients[0].values == bench.outputGradient.values)
    #expect(bench.inputGradients[1].values == bench.outputGradient.values)
  }
}
