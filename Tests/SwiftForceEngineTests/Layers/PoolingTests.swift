// Pooling of a small image, and of ties. LayerTests checks the gradients.

import Testing

@testable import SwiftForceEngine

struct PoolingTests {
  /// 3 x 5: the right and the bottom edge do not fill a window.
  static let image: [Double] = [
    1, 5, 2, 8, 9,
    7, 3, 4, 6, 9,
    9, 9, 9, 9, 9,
  ]

  private func bench(_ description: LayerDescription, _ image: [Double]) throws -> LayerBench<
    Double
  > {
    let bench = try LayerBench<Double>(LayerCase(description, [1, 3, 5]), batch: 1)
    bench.inputs[0].all.write(image)
    bench.run()
    return bench
  }

  @Test func maximumIsTheLargestOfEachWindow() throws {
    let apart = try bench(.maxPool2d(2), PoolingTests.image)
    #expect(apart.layer.outputShape == Shape(dimensions: [1, 1, 2]))
    #expect(apart.output.values == [7, 8])
    let overlapping = try bench(.maxPool2d(2, stride: 1), PoolingTests.image)
    #expect(overlapping.output.values == [7, 5, 8, 9, 9, 9, 9, 9])
    let negative = try bench(.maxPool2d(3), PoolingTests.image.map { -$0 })
    #expect(negative.output.values == [-1])
  }

  /// As in torch, the first of several largest numbers in row-major order gets the gradient.
  @Test func firstLargestGetsTheGradient() throws {
    let bench = try bench(.maxPool2d(3, stride: 2), [Double](repeating: 4, count: 15))
    let g = bench.outputGradient.values
    #expect(
      bench.inputGradients[0].values == [g[0], 0, g[1], 0, 0] + [Double](repeating: 0, count: 10))
  }

  @Test func meanIsThatOfEachWindow() throws {
    #expect(try bench(.avgPool2d(2), PoolingTests.image).output.values == [4, 5])
    let wide = try bench(.avgPool2d(3, stride: 2), PoolingTests.image).output.values
    #expect(relativeError(wide, [49.0 / 9, 65.0 / 9]) < 1e-15)
  }

  @Test func globalMeanIsThatOfTheChannel() throws {
    let bench = try bench(.globalAvgPool2d, PoolingTests.image)
    #expect(bench.layer.outputShape == Shape(dimensions: [1]))
    #expect(relativeError(bench.output.values, [99.0 / 15]) < 1e-15)
  }
}
