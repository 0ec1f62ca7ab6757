// The linear layer's values. LayerTests checks its gradients.

import Testing

@testable import SwiftForceEngine

struct LinearTests {
  @Test(arguments: [1, 3, 16, 20])
  func isWeightTimesInputPlusBias(batch: Int) throws {
    let bench = try LayerBench<Double>(LayerCase(.linear(4, 3), [4]), batch: batch)
    bench.forward()
    let (x, w, b) = (
      bench.samples(bench.inputs[0], bench.inputShape), bench.parameters[0].values,
      bench.parameters[1].values
    )
    let expected = (0..<3 * batch).map { position in
      let (row, sample) = position.quotientAndRemainder(dividingBy: batch)
      return (0..<4).reduce(b[row]) { $0 + w[row * 4 + $1] * x[$1 * batch + sample] }
    }
    #expect(relativeError(bench.samples(bench.output, bench.layer.outputShape), expected) < 1e-14)
  }

  @Test func asksForWeightAndBias() throws {
    let layer = try LayerDescription.linear(4, 3).makeLayer([Shape(dimensions: [4])])
    #expect(
      layer.parameters == [
        ParameterDescription(role: .weight, shape: [3, 4], fanIn: 4),
        ParameterDescription(role: .bias, shape: [3]),
      ])
    #expect(layer.outputShape == Shape(dimensions: [3]))
    let bare = try LayerDescription.linear(4, 3, bias: false).makeLayer([Shape(dimensions: [4])])
    #expect(bare.parameters.map(\.role) == [.weight])
  }
}
