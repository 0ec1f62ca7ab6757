// Batch normalisation's values and its running statistics. LayerTests checks its gradients.

import Testing

@testable import SwiftForceEngine

struct BatchNorm2dTests {
  static let form = LayerCase(.batchNorm2d(2, momentum: 0.3, epsilon: 0.01), [2, 3, 2])

  /// Mean and variances of a channel, by the definitions.
  private func moments(_ values: ArraySlice<Double>) -> (
    mean: Double, biased: Double, unbiased: Double
  ) {
    let mean = values.reduce(0, +) / Double(values.count)
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (mean, squares / Double(values.count), squares / Double(values.count - 1))
  }

  private func channel(_ number: Int, of values: [Double]) -> ArraySlice<Double> {
    let size = values.count / 2
    return values[number * size..<(number + 1) * size]
  }

  @Test(arguments: [1, 5, 16, 21, 48])
  func normalizesEachChannelByTheBatch(batch: Int) throws {
    let bench = try LayerBench<Double>(BatchNorm2dTests.form, batch: batch)
    bench.forward()
    let (scale, bias) = (bench.parameters[0].values, bench.parameters[1].values)
    for c in 0..<2 {
      let input = channel(c, of: bench.samples(bench.inputs[0], bench.inputShape))
      let (mean, variance, _) = moments(input)
      let expected = input.map {
        ($0 - mean) / (variance + 0.01).squareRoot() * scale[c] + bias[c]
      }
      let output = channel(c, of: bench.samples(bench.output, bench.inputShape))
      #expect(relativeError(Array(output), expected) < 1e-13)
    }
  }

  @Test func normalizesByTheRunningStatistics() throws {
    let form = LayerCase(
      BatchNorm2dTests.form.description, BatchNorm2dTests.form.shape.dimensions, by: .running)
    let bench = try LayerBench<Double>(form, batch: 3)
    bench.forward()
    let p = bench.parameters.map(\.values)
    for c in 0..<2 {
      let expected = channel(c, of: bench.inputs[0].values).map {
        ($0 - p[2][c]) / (p[3][c] + 0.01).squareRoot() * p[0][c] + p[1][c]
      }
      #expect(relativeError(Array(channel(c, of: bench.output.values)), expected) < 1e-13)
    }
  }

  /// As in torch: running = (1 - momentum) running + momentum * the batch's mean, or its
  /// unbiased variance.
  @Test func runningStatisticsAreUpdated() throws {
    let bench = try LayerBench<Double>(BatchNorm2dTests.form, batch: 4)
    let before = bench.parameters.map(\.values)
    bench.run()
    #expect(bench.parameters.map(\.values) == before)
    bench.layer.updateRunningStatistics(bench.pass())
    for c in 0..<2 {
      let (mean, _, variance) = moments(channel(c, of: bench.inputs[0].values))
      let after = [bench.parameters[2].values[c], bench.parameters[3].values[c]]
      let expected = [0.7 * before[2][c] + 0.3 * mean, 0.7 * before[3][c] + 0.3 * variance]
      #expect(relativeError(after, expected) < 1e-14)
    }
    #expect(bench.parameters[0].values == before[0])
    #expect(bench.parameters[1].values == before[1])
  }

  /// One number has no unbiased variance, but nothing becomes NaN.
  @Test func channelsOfOneNumberAreFinite() throws {
    let bench = try LayerBench<Double>(LayerCase(.batchNorm2d(2), [2, 1, 1]), batch: 1)
    bench.run()
    bench.layer.updateRunningStatistics(bench.pass())
    #expect(bench.output.values == bench.parameters[1].values)
    #expect(bench.parameters.allSatisfy { $0.values.allSatisfy { $0.isFinite } })
    #expect(bench.inputGradients[0].values == [0, 0])
  }

  /// A rectifier that is computed with the normalisation gives the bits of one that follows it.
  @Test(arguments: [1, 5, 16, 21, 48], [Normalization.batch, .running])
  func rectifiesAsALayerOfItsOwn(batch: Int, by normalization: Normalization) throws {
    let form = LayerCase(
      BatchNorm2dTests.form.description, BatchNorm2dTests.form.shape.dimensions, by: normalization)
    let apart = try LayerBench<Float>(form, batch: batch)
    let rectifier = try LayerBench<Float>(LayerCase(.relu, form.shape.dimensions), batch: batch)
    apart.forward()
    rectifier.inputs[0].all.assign(apart.output.all)
    rectifier.run()
    apart.outputGradient.all.assign(rectifier.inputGradients[0].all)
    apart.backward(accumulates: false)

    let together = try LayerBench<Float>(form, batch: batch)
    var layer = try #require(together.layer as? BatchNorm2d)
    layer.rectifies = true
    together.layer = layer
    together.run()
    #expect(together.output.values == rectifier.output.values)
    #expect(together.gradients == apart.gradients)
    #expect(together.output.values.contains(0) && together.output.values.contains { $0 > 0 })
  }

  /// It is computed so where nothing else reads what is normalised.
  @Test func rectifiersThatFollowAreFound() throws {
    let layers: [LayerDescription] = [
      .batchNorm2d(2), .relu, .batchNorm2d(2), .relu, .add(2), .globalAvgPool2d,
      .linear(2, 2),
    ]
    let architecture = try Architecture(layers, inputShape: [2, 3, 3])
    let plan = ActivationPlan(architecture, batch: 16, includesBackward: true, workspace: 0)
    #expect(plan.values[1] == plan.values[2] && plan.gradients[1] == plan.gradients[2])
    let found = architecture.layers
    #expect(found.compactMap { ($0 as? BatchNorm2d)?.rectifies } == [true, false])
    #expect(found.compactMap { ($0 as? ReLU)?.isFused } == [true, false])
  }

  @Test func asksForScaleBiasAndStatistics() throws {
    let layer = try LayerDescription.batchNorm2d(3).makeLayer([Shape(dimensions: [3, 2, 4])])
    #expect(layer.parameters.map(\.role) == [.scale, .bias, .mean, .variance])
    #expect(layer.parameters.allSatisfy { $0.shape == [3] })
    #expect(layer.outputShape == Shape(dimensions: [3, 2, 4]))
  }
}
