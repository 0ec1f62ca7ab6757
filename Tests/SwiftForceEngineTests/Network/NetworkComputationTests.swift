// Gradients against central differences, batches against their samples, training with masks,
// evaluation.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct NetworkComputationTests {
  private func data<Element>(
    for network: Network<Element>, samples: Int
  ) throws -> DataSet<Element> {
    try DataSet(samples: samples, features: network.features, classes: network.classes)
  }

  /// One step with a learning rate of one moves every parameter by its gradient, biases too.
  @Test(arguments: architectures, [1, 7, 256, 300])
  func gradientsAreTheDerivatives(layers: [LayerDescription], samples: Int) throws {
    let network = try makeNetwork(layers, as: Double.self)
    let before = network.values
    try data(for: network, samples: samples).withBatch { batch in
      let slopes = try network.parameters.map { parameter in
        try centralDifferences(
          of: { try network.evaluate(batch: batch).loss }, by: parameter.view)
      }
      let (result, gradients) = try network.gradients(batch)
      #expect(network.values == before)
      let step = try network.train(batch: batch, sgd: SGD(learningRate: 1))
      #expect(step == result)
      for (i, after) in network.values.enumerated() {
        let moved = zip(before[i], after).map { $0 - $1 }
        #expect(relativeError(moved, slopes[i]) < 1e-6)
      }
      let weights = network.parameters.indices.filter {
        network.parameters[$0].role == .weight
      }
      for (gradient, i) in zip(gradients, weights) {
        #expect(relativeError(gradient, slopes[i]) < 1e-6)
      }
    }
  }

  /// Gradients at weights that are passed are those of a network that has these weights.
  @Test func gradientsAreTakenAtTheWeightsPassed() throws {
    let network = try makeNetwork(architectures[2], as: Double.self)
    let other = try makeNetwork(architectures[2], seed: 99, as: Double.self)
    let before = network.values
    try data(for: network, samples: 300).withBatch { batch in
      let expected = try other.gradients(batch)
      let got = try network.gradients(at: other.weightValues, batch)
      #expect(got.result == expected.result)
      #expect(got.values == expected.values)
      #expect(try network.gradients(batch).values != expected.values)
    }
    #expect(network.values == before)
  }

  /// Dense: a removed weight has a gradient, which is what lets FORCE bring it back.
  @Test func maskedPositionsHaveGradients() throws {
    let network = try makeNetwork(architectures[1], as: Double.self)
    let masks = network.weightSizes.map { size in (0..<size).map { UInt8($0 % 2) } }
    // What is written to a removed weight has no effect, unless the masks are taken away.
    let unmasked = try makeNetwork(architectures[1], as: Double.self)
    for network in [network, unmasked] { try network.apply(masks) }
    try unmasked.apply(masks: nil)
    try data(for: network, samples: 50).withBatch { batch in
      let gradients = try network.gradients(batch).values
      for (tensor, parameter) in unmasked.weightParameters.enumerated() {
        let slopes = try centralDifferences(
          of: { try unmasked.evaluate(batch: batch).loss }, by: parameter.view)
        #expect(relativeError(gradients[tensor], slopes) < 1e-6)
        #expect(zip(gradients[tensor], masks[tensor]).contains { $0 != 0 && $1 == 0 })
      }
    }
  }

  /// Every sample has the same weight, wherever micro-batches begin and end.
  @Test(arguments: [1, 255, 256, 257, 512, 600])
  func batchIsTheMeanOfItsSamples(samples: Int) throws {
    let network = try makeNetwork(architectures[1], as: Double.self)
    let data = try data(for: network, samples: samples)
    let whole = try data.withBatch { try network.gradients($0) }
    var loss = 0.0
    var correct = 0
    var sums = network.weightSizes.map { [Double](repeating: 0, count: $0) }
    for row in 0..<samples {
      let one = try data.withBatch(rows: [Int64(row)]) { try network.gradients($0) }
      loss += one.result.loss / Double(samples)
      correct += one.result.correct
      for (tensor, values) in one.values.enumerated() {
        for (i, value) in values.enumerated() { sums[tensor][i] += value / Double(samples) }
      }
    }
    #expect((whole.result.loss - loss).magnitude < 1e-12)
    #expect(whole.result.correct == correct)
    for (got, expected) in zip(whole.values, sums) { #expect(relativeError(got, expected) < 1e-12) }
    #expect(try data.withBatch { try network.evaluate(batch: $0) } == whole.result)
  }

  @Test(arguments: architectures)
  func floatAgreesWithDouble(layers: [LayerDescription]) throws {
    let float = try makeNetwork(layers, as: Float.self)
    let double = try makeNetwork(layers, as: Double.self)
    double.write(float.values.map { $0.map(Double.init) })
    let floats = try data(for: float, samples: 300)
    let doubles = try data(for: double, samples: 300)
    doubles.inputs.all.write(floats.inputs.values.map(Double.init))
    let expected = try doubles.withBatch { try double.gradients($0) }
    let got = try floats.withBatch { try float.gradients($0) }
    #expect((got.result.loss - expected.result.loss).magnitude < 1e-6)
    #expect(got.result.correct == expected.result.correct)
    for (got, expected) in zip(got.values, expected.values) {
      #expect(relativeError(got, expected) < 1e-4)
    }
    let logits = try floats.withBatch { try float.logits($0) }
    #expect(relativeError(logits, try doubles.withBatch { try double.logits($0) }) < 1e-5)
  }

  /// Logits come row by row in the order of the rows listed.
  @Test(arguments: [3, 256, 300])
  func forwardFollowsTheRows(samples: Int) throws {
    let network = try makeNetwork(architectures[2], as: Double.self)
    let data = try data(for: network, samples: samples)
    let plain = try data.withBatch(hasLabels: false) { try network.logits($0) }
    let rows = (0..<samples).map { Int64(($0 * 7 + 2) % samples) }
    let got = try data.withBatch(rows: rows, hasLabels: false) { try network.logits($0) }
    let expected = rows.flatMap { row in (0..<2).map { plain[Int(row) * 2 + $0] } }
    #expect(relativeError(got, expected) < 1e-14)
    #expect(relativeError(got, plain) > 1e-3)
  }

  @Test func evaluateCountsTheFirstLargest() throws {
    let network = try Network<Float>(layers: [.linear(1, 4)], seed: 1)
    network.parameters[0].view.write([1, 2, 2, 0])
    let data = try DataSet<Float>(samples: 4, features: 1, classes: 4)
    // Input 1: classes 1 and 2 are equal and largest. Input -1: class 3. Input 0: all are equal.
    data.inputs.all.write([1, 1, -1, 0])
    data.labels.all.write([1, 2, 3, 0])
    #expect(try data.withBatch { try network.evaluate(batch: $0).correct } == 3)
    #expect(try data.withBatch(rows: [1, 1, 0]) { try network.evaluate(batch: $0).correct } == 1)
  }

  @Test func trainingLearns() throws {
    let network = try makeNetwork([.linear(2, 16), .relu, .linear(16, 2)], as: Float.self)
    let data = try DataSet<Float>(samples: 200, features: 2, classes: 2)
    let inputs = data.inputs.values
    // Exclusive or: no linear classifier gets far beyond half of it.
    data.labels.all.write((0..<200).map { inputs[2 * $0] * inputs[2 * $0 + 1] > 0 ? 1 : 0 })
    let sgd = SGD(learningRate: 0.5, momentum: 0.9)
    try data.withBatch { batch in
      for _ in 0..<300 { _ = try network.train(batch: batch, sgd: sgd) }
      #expect(try network.evaluate(batch: batch).correct >= 190)
    }
  }
}

struct MaskedTrainingTests {
  let network: Network<Float>
  let data: DataSet<Float>
  let masks: [[UInt8]]
  let sgd = SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.05)

  init() throws {
    network = try makeNetwork([.linear(6, 9), .relu, .linear(9, 4)])
    data = try DataSet(samples: 64, features: 6, classes: 4)
    masks = network.weightSizes.map { size in (0..<size).map { $0 % 3 == 0 ? 1 : 0 } }
  }

  private func removedValues() -> [Float] {
    zip(network.weightValues, masks).flatMap { values, mask in
      zip(values, mask).filter { $1 == 0 }.map(\.0)
    }
  }

  private func train(_ steps: Int) throws {
    try data.withBatch { batch in
      for _ in 0..<steps { _ = try network.train(batch: batch, sgd: sgd) }
    }
  }

  /// Momentum from before the masks must not move what they remove.
  @Test func zerosStayThroughMomentumAndWeightDecay() throws {
    try train(5)
    try network.apply(masks)
    let before = network.values
    for _ in 0..<40 {
      try train(1)
      #expect(areExactZeros(removedValues()))
    }
    for (before, after) in zip(before, network.values) { #expect(before != after) }
  }

  @Test func momentumOfRemovedWeightsIsCleared() throws {
    try train(5)
    try network.apply(masks)
    try network.apply(masks: nil)
    let gradients = try data.withBatch { try network.gradients($0).values }
    try train(1)
    for (tensor, values) in network.weightValues.enumerated() {
      for (i, value) in values.enumerated() where masks[tensor][i] == 0 {
        // v = 0.9 * 0 + g, for a weight that was zero.
        #expect((value + 0.1 * gradients[tensor][i]).magnitude < 1e-7)
      }
    }
  }

  /// Python can write to any weight. The next step works as if nothing had been written.
  @Test(arguments: [5, .nan, -.infinity] as [Float])
  func whatIsWrittenToRemovedWeightsIsUndone(value: Float) throws {
    let twin = try makeNetwork([.linear(6, 9), .relu, .linear(9, 4)], as: Float.self)
    for network in [network, twin] { try network.apply(masks) }
    for (parameter, mask) in zip(network.weightParameters, masks) {
      for (i, kept) in mask.enumerated() where kept == 0 { parameter.view.write(value, at: i) }
    }
    try data.withBatch { batch in
      let results = try [network, twin].map { try $0.train(batch: batch, sgd: sgd) }
      #expect(results[0] == results[1])
    }
    #expect(areExactZeros(removedValues()))
    #expect(network.values == twin.values)
  }

  @Test func addressesDoNotChange() throws {
    let addresses = network.parameters.map { unsafe UInt(bitPattern: $0.view.base) }
    try network.apply(masks)
    try train(3)
    try network.apply(masks: nil)
    network.resetOptimizer()
    let after = network.parameters.map { unsafe UInt(bitPattern: $0.view.base) }
    #expect(after == addresses)
  }
}
