// Whole networks with convolutions: gradients against central differences, parts of a batch, and
// running statistics.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

extension Network {
  /// The mean loss, batches normalised by themselves, from a pass that only goes forward.
  fileprivate func loss(_ batch: Batch<Element>) throws -> Double {
    let checked = try batch.checked(features: features, classes: classes, needsLabels: true)
    let pass = try NetworkPass(
      self, parameters: ownParameters, sparse: sparse, normalization: .batch)
    defer { pass.end() }
    var total = 0.0
    try pass.forEachMicroBatch(of: checked, samples: checked.count) { range, logits in
      total += pass.loss(checked, range, logits).sum(gradient: nil, weight: 0).loss
    }
    return total / Double(checked.count)
  }
}

struct ImageNetworkTests {
  private func data<Element>(
    for network: Network<Element>, samples: Int
  ) throws -> DataSet<Element> {
    try DataSet(samples: samples, features: network.features, classes: network.classes)
  }

  static let forms = imageNetworks + (1...4).map(randomNetwork)

  /// One step with a learning rate of one moves each trained parameter by its gradient. Differences
  /// are taken over short steps, since a normalisation by few numbers is far from linear.
  @Test(arguments: forms)
  func gradientsAreTheDerivatives(form: ImageNetwork) throws {
    let network = try makeNetwork(form, as: Double.self)
    let before = network.values
    try data(for: network, samples: 6).withBatch { batch in
      let slopes = try network.parameters.map { parameter in
        try centralDifferences(
          of: { try network.loss(batch) }, by: parameter.view,
          at: places(parameter.view.count, atMost: 12), step: 2e-7)
      }
      let (result, gradients) = try network.gradients(batch)
      #expect(network.values == before)
      #expect(try (network.loss(batch) - result.loss).magnitude < 1e-13)
      let step = try network.train(batch: batch, sgd: SGD(learningRate: 1))
      #expect(step == result)
      var weights = gradients[...]
      for (i, parameter) in network.parameters.enumerated() where parameter.role.isTrained {
        let places = places(parameter.view.count, atMost: 12)
        let moved = places.map { before[i][$0] - network.values[i][$0] }
        #expect(absoluteError(moved, slopes[i]) < 1e-7, "\(parameter.role)")
        guard parameter.role == .weight, let gradient = weights.popFirst() else { continue }
        #expect(absoluteError(places.map { gradient[$0] }, slopes[i]) < 1e-7)
      }
    }
  }

  /// With running statistics samples do not depend on each other, and the statistics do not change.
  @Test(arguments: forms)
  func gradientsWithRunningStatisticsAreTheDerivatives(form: ImageNetwork) throws {
    let network = try makeNetwork(form, as: Double.self)
    let before = network.values
    try data(for: network, samples: 6).withBatch { batch in
      let (result, gradients) = try network.gradients(batch, normalization: .running)
      #expect(try network.evaluate(batch: batch) == result)
      for (gradient, parameter) in zip(gradients, network.weightParameters) {
        let places = places(parameter.view.count, atMost: 12)
        let slopes = try centralDifferences(
          of: { try network.evaluate(batch: batch).loss }, by: parameter.view, at: places)
        #expect(absoluteError(places.map { gradient[$0] }, slopes) < 1e-7)
      }
    }
    #expect(network.values == before)
  }

  /// Parts that are normalised together count as separate batches of their size.
  @Test(arguments: imageNetworks, [1, 2, 3, 5, 7, 100])
  func partsAreTheMeanOfSeparateCalls(form: ImageNetwork, together: Int) throws {
    let network = try makeNetwork(form, as: Double.self)
    let data = try data(for: network, samples: 7)
    var loss = 0.0
    var correct = 0
    var sums = network.weightSizes.map { [Double](repeating: 0, count: $0) }
    for start in stride(from: 0, to: 7, by: together) {
      let rows = (start..<min(start + together, 7)).map(Int64.init)
      let share = Double(rows.count) / 7
      let part = try data.withBatch(rows: rows) { try network.gradients($0) }
      loss += part.result.loss * share
      correct += part.result.correct
      sums = zip(sums, part.values).map { sum, values in zip(sum, values).map { $0 + $1 * share } }
    }
    let got = try data.withBatch { try network.gradients($0, together: together) }
    #expect((got.result.loss - loss).magnitude < 1e-13)
    #expect(got.result.correct == correct)
    for (got, expected) in zip(got.values, sums) {
      #expect(absoluteError(got, expected) < 1e-12)
    }
    // Where nothing is normalised by the batch, parts make no difference.
    let running = try data.withBatch {
      try (
        network.gradients($0, together: together, normalization: .running),
        network.gradients($0, normalization: .running)
      )
    }
    #expect(running.0 == running.1)
  }

  /// More samples than are usually computed together are normalised together all the same.
  @Test func largeBatchesAreNormalizedAsAWhole() throws {
    let layers: [LayerDescription] = [
      .conv2d(1, 1, kernel: 1), .batchNorm2d(1), .flatten, .linear(1, 2),
    ]
    let network = try makeNetwork(layers, inputShape: [1, 1, 1], as: Double.self)
    try data(for: network, samples: 300).withBatch { batch in
      let (result, _) = try network.gradients(batch)
      #expect(try (network.loss(batch) - result.loss).magnitude < 1e-12)
      let (parts, _) = try network.gradients(batch, together: 256)
      #expect((parts.loss - result.loss).magnitude > 1e-9)
    }
  }

  @Test(arguments: [0, -1, .min])
  func emptyPartsAreErrors(together: Int) throws {
    let network = try makeNetwork(imageNetworks[0], as: Double.self)
    try data(for: network, samples: 3).withBatch { batch in
      #expect(throws: SFError.badCount(together)) {
        try network.gradients(batch, together: together)
      }
    }
  }

  @Test(arguments: forms)
  func floatAgreesWithDouble(form: ImageNetwork) throws {
    let float = try makeNetwork(form, as: Float.self)
    let double = try makeNetwork(form, as: Double.self)
    double.write(float.values.map { $0.map(Double.init) })
    let (floats, doubles) = (try data(for: float, samples: 20), try data(for: double, samples: 20))
    doubles.inputs.all.write(floats.inputs.values.map(Double.init))
    for normalization in [.batch, .running] as [Normalization] {
      let expected = try doubles.withBatch {
        try double.gradients($0, normalization: normalization)
      }
      let got = try floats.withBatch { try float.gradients($0, normalization: normalization) }
      #expect((got.result.loss - expected.result.loss).magnitude < 1e-5)
      for (got, expected) in zip(got.values, expected.values) {
        #expect(zip(got, expected).allSatisfy { (Double($0) - $1).magnitude < 1e-4 })
      }
    }
  }
}

struct RunningStatisticsTests {
  /// The statistics of the input itself: a normalisation that reads it.
  static let layers: [LayerDescription] = [
    .batchNorm2d(2, momentum: 0.25), .conv2d(2, 2, kernel: 2), .relu, .flatten, .linear(4, 2),
  ]
  let network: Network<Double>
  let data: DataSet<Double>
  let sgd = SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.1)

  init() throws {
    network = try makeNetwork(RunningStatisticsTests.layers, inputShape: [2, 3, 2])
    data = try DataSet(samples: 5, features: 12, classes: 2)
  }

  private var running: [[Double]] {
    network.parameters.filter { !$0.role.isTrained }.map(\.view.values)
  }

  private func train() throws -> BatchResult {
    try data.withBatch { try network.train(batch: $0, sgd: sgd) }
  }

  /// The statistics that torch tracks: mean and unbiased variance of a channel of the input.
  private func moments(ofChannel channel: Int) -> (mean: Double, variance: Double) {
    let inputs = data.inputs.values
    var values: [Double] = []
    for sample in 0..<5 {
      let start = sample * 12 + channel * 6
      values += inputs[start..<start + 6]
    }
    let mean = values.reduce(0, +) / 30
    let squares: [Double] = values.map { ($0 - mean) * ($0 - mean) }
    return (mean, squares.reduce(0, +) / 29)
  }

  /// Weight decay, momentum and masks do not affect them.
  @Test func dependOnBatchesAlone() throws {
    try network.apply(network.weightSizes.map { [UInt8](repeating: 0, count: $0) })
    var expected = running
    for _ in 0..<5 {
      _ = try train()
      for channel in 0..<2 {
        let (mean, variance) = moments(ofChannel: channel)
        expected[0][channel] = 0.75 * expected[0][channel] + 0.25 * mean
        expected[1][channel] = 0.75 * expected[1][channel] + 0.25 * variance
      }
      for (got, expected) in zip(running, expected) {
        #expect(relativeError(got, expected) < 1e-13)
      }
    }
  }

  @Test func onlyTrainingUpdatesThem() throws {
    let before = running
    try data.withBatch { batch in
      _ = try network.gradients(batch)
      _ = try network.gradients(batch, together: 2)
      _ = try network.gradients(batch, normalization: .running)
      _ = try network.evaluate(batch: batch)
      _ = try network.logits(batch)
    }
    #expect(running == before)
    _ = try train()
    #expect(running != before)
  }

  @Test(arguments: [Double.nan, .infinity])
  func stepThatIsNotTakenLeavesThem(value: Double) throws {
    _ = try train()
    let before = network.values
    data.inputs.all.write(value, at: 7)
    #expect(try !train().loss.isFinite)
    #expect(network.values == before)
  }

  /// Optimizer, masks and gradients have the size of the trained part, which comes first.
  @Test func optimizerStateCoversTrainedParameters() throws {
    let layout = network.layout
    let roles = network.parameters.map(\.role)
    #expect(roles == [.scale, .bias, .mean, .variance, .weight, .bias, .weight, .bias])
    let trained = layout.entries.filter { $0.description.role.isTrained }
    let others = layout.entries.filter { !$0.description.role.isTrained }
    #expect(layout.trainedCount == 6 * 16)
    #expect(layout.count == 8 * 16)
    #expect(trained.allSatisfy { $0.offset + $0.count <= layout.trainedCount })
    #expect(others.allSatisfy { $0.offset >= layout.trainedCount })
    #expect(Set(layout.entries.map(\.offset)).count == 8)
    #expect(network.trained.count == layout.trainedCount)
    _ = try train()
    #expect(network.optimizer?.gradients.count == layout.trainedCount)
    try network.apply(network.weightSizes.map { [UInt8](repeating: 1, count: $0) })
    #expect(network.mask?.count == layout.trainedCount)
    #expect(network.weightSizes == [16, 8])
  }

  /// Scales and biases are trained but not pruned: masks of zeros leave them unchanged.
  @Test func masksRemoveWeightsAlone() throws {
    let before = network.values
    try network.apply(network.weightSizes.map { [UInt8](repeating: 0, count: $0) })
    for (i, parameter) in network.parameters.enumerated() {
      if parameter.role == .weight {
        #expect(areExactZeros(parameter.view.values))
      } else {
        #expect(parameter.view.values == before[i])
      }
    }
  }

  @Test func newNetworksNormalizeAsTorchDoes() throws {
    let new = try Network<Float>(
      layers: RunningStatisticsTests.layers, inputShape: [2, 3, 2], seed: 1)
    #expect(new.values[0...3] == [[1, 1], [0, 0], [0, 0], [1, 1]])
  }
}
