// A network's parameters and masks, and that a call that throws changes nothing.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct NetworkTests {
  static let layers: [LayerDescription] = [.linear(5, 6), .relu, .linear(6, 3)]
  let network: Network<Float>
  let data: DataSet<Float>
  let sgd = SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.01)

  init() throws {
    network = try makeNetwork(NetworkTests.layers)
    data = try DataSet(samples: 20, features: 5, classes: 3)
  }

  @Test func parametersDescribeTheLayers() throws {
    #expect(network.parameters.map(\.layer) == [0, 0, 2, 2])
    #expect(network.parameters.map(\.role) == [.weight, .bias, .weight, .bias])
    #expect(network.parameters.map(\.shape) == [[6, 5], [6], [3, 6], [3]])
    #expect(network.parameters.map(\.view.count) == [30, 6, 18, 3])
    #expect(network.weightSizes == [30, 18])
    #expect(network.features == 5)
    #expect(network.classes == 3)
    let addresses = network.parameters.map { unsafe UInt(bitPattern: $0.view.base) }
    #expect(addresses.allSatisfy { $0.isMultiple(of: 64) })
    #expect(Set(addresses).count == 4)
  }

  @Test func parametersAreTheNetworksOwnMemory() throws {
    let before = try data.withBatch { try network.evaluate(batch: $0) }
    network.parameters[2].view.fill(with: 0)
    network.parameters[3].view.write([5, 0, 0])
    let after = try data.withBatch { try network.logits($0) }
    #expect(after == (0..<20).flatMap { _ in [5, 0, 0] as [Float] })
    #expect(try data.withBatch { try network.evaluate(batch: $0) } != before)
  }

  @Test func masksRemoveWeightsAtOnce() throws {
    let before = network.values
    network.parameters[0].view.write(-3, at: 1)
    let masks: [[UInt8]] = [
      (0..<30).map { $0 == 1 || $0 == 7 ? 0 : 1 }, [UInt8](repeating: 0, count: 18),
    ]
    try network.apply(masks)
    let after = network.values
    #expect(areExactZeros([after[0][1], after[0][7]] + after[2]))
    for i in 0..<30 where masks[0][i] == 1 { #expect(after[0][i] == before[0][i]) }
    #expect(after[1] == before[1])
    #expect(after[3] == before[3])
  }

  @Test func weightsMoveAgainWithoutMasks() throws {
    try network.apply([[UInt8](repeating: 0, count: 30), [UInt8](repeating: 1, count: 18)])
    _ = try data.withBatch { try network.train(batch: $0, sgd: sgd) }
    #expect(areExactZeros(network.values[0]))
    try network.apply(masks: nil)
    #expect(areExactZeros(network.values[0]))
    _ = try data.withBatch { try network.train(batch: $0, sgd: sgd) }
    #expect(network.values[0].contains { $0 != 0 })
  }

  /// The masks of a second call replace those of the first: what only the first removed may move.
  @Test func newMasksReplaceOldOnes() throws {
    let odd = (0..<30).map { UInt8($0 % 2) }
    try network.apply([odd, [UInt8](repeating: 1, count: 18)])
    try network.apply([odd.map { 1 - $0 }, [UInt8](repeating: 1, count: 18)])
    #expect(areExactZeros(network.values[0]))
    _ = try data.withBatch { try network.train(batch: $0, sgd: sgd) }
    let after = network.values[0]
    #expect(areExactZeros(after.indices.filter { $0 % 2 == 1 }.map { after[$0] }))
    #expect(after.contains { $0 != 0 })
  }

  /// The caller's masks are copied: what happens to them later has no effect.
  @Test func masksAreCopied() throws {
    let masks = try [Arena<UInt8>(count: 30), Arena<UInt8>(count: 18)]
    try network.apply(masks: masks.map { unsafe Mask($0.all.base, count: $0.count) })
    for mask in masks { mask.all.fill(with: 1) }
    _ = try data.withBatch { try network.train(batch: $0, sgd: sgd) }
    #expect(network.weightValues.allSatisfy { areExactZeros($0) })
  }

  @Test func masksOfOtherSizesAreErrors() throws {
    let before = network.values
    #expect(throws: SFError.sizeMismatch(.masks, tensor: nil, got: 1, expected: 2)) {
      try network.apply([[UInt8](repeating: 0, count: 30)])
    }
    #expect(throws: SFError.sizeMismatch(.masks, tensor: 1, got: 17, expected: 18)) {
      try network.apply([[UInt8](repeating: 0, count: 30), [UInt8](repeating: 0, count: 17)])
    }
    #expect(network.values == before)
    #expect(network.mask == nil)
  }

  @Test func resetOptimizerForgetsMomentum() throws {
    let twin = try makeNetwork(NetworkTests.layers, as: Float.self)
    _ = try data.withBatch { try network.train(batch: $0, sgd: sgd) }
    twin.write(network.values)
    network.resetOptimizer()
    try data.withBatch { batch in
      let results = try [network, twin].map { try $0.train(batch: batch, sgd: sgd) }
      #expect(results[0] == results[1])
    }
    #expect(network.values == twin.values)
  }
}

/// Every error of a call, on a network that has masks and momentum.
struct NetworkErrorTests {
  let network: Network<Float>
  let twin: Network<Float>
  let data: DataSet<Float>
  let sgd = SGD(learningRate: 0.1, momentum: 0.9)

  init() throws {
    network = try makeNetwork(NetworkTests.layers)
    twin = try makeNetwork(NetworkTests.layers)
    data = try DataSet(samples: 20, features: 5, classes: 3)
    for network in [network, twin] {
      try network.apply([(0..<30).map { UInt8($0 % 2) }, [UInt8](repeating: 1, count: 18)])
      try data.withBatch { _ = try network.train(batch: $0, sgd: sgd) }
    }
  }

  /// The twin never saw the call. One more step shows that masks and momentum are equal, too.
  private func expectUnchanged() throws {
    #expect(network.values == twin.values)
    let step = SGD(learningRate: 0.1, momentum: 0.5)
    try data.withBatch { batch in
      let results = try [network, twin].map { try $0.train(batch: batch, sgd: step) }
      #expect(results[0] == results[1])
    }
    #expect(network.values == twin.values)
  }

  private func expectNothingWritten(
    _ error: SFError, sizes: [Int] = [30, 18], weights: [Int]? = nil, batch: Batch<Float>
  ) throws {
    let targets = try sizes.map { try Arena([Float](repeating: 7, count: $0)) }
    let at = try weights?.map { try Arena<Float>(count: $0) }
    #expect(throws: error) {
      try network.gradients(at: at?.map(\.all), into: targets.map(\.all), batch: batch)
    }
    #expect(targets.allSatisfy { $0.values.allSatisfy { $0 == 7 } })
  }

  @Test func wrongBatchChangesNothing() throws {
    let error = SFError.badRow(index: 1, row: 20, samples: 20)
    let logits = try Arena([Float](repeating: 7, count: 6))
    try data.withBatch(rows: [0, 20]) { batch in
      try expectNothingWritten(error, batch: batch)
      #expect(throws: error) { try network.train(batch: batch, sgd: sgd) }
      #expect(throws: error) { try network.evaluate(batch: batch) }
      #expect(throws: error) { try network.forward(batch: batch, into: logits.all) }
    }
    #expect(logits.values.allSatisfy { $0 == 7 })
    try expectUnchanged()
  }

  @Test func wrongLabelChangesNothing() throws {
    data.labels.all.write(3, at: 19)
    let error = SFError.badLabel(index: 19, label: 3, classes: 3)
    try data.withBatch { batch in
      try expectNothingWritten(error, batch: batch)
      #expect(throws: error) { try network.train(batch: batch, sgd: sgd) }
      #expect(throws: error) { try network.evaluate(batch: batch) }
      // Labels are not read where none are needed.
      let logits = try network.logits(batch)
      #expect(logits.allSatisfy { $0.isFinite })
    }
    data.labels.all.write(0, at: 19)
    try expectUnchanged()
  }

  @Test func wrongListsChangeNothing() throws {
    try data.withBatch { batch in
      try expectNothingWritten(
        .sizeMismatch(.gradients, tensor: nil, got: 3, expected: 2), sizes: [30, 18, 1],
        batch: batch)
      try expectNothingWritten(
        .sizeMismatch(.gradients, tensor: 0, got: 29, expected: 30), sizes: [29, 18], batch: batch)
      try expectNothingWritten(
        .sizeMismatch(.weights, tensor: nil, got: 1, expected: 2), weights: [30], batch: batch)
      try expectNothingWritten(
        .sizeMismatch(.weights, tensor: 1, got: 30, expected: 18), weights: [30, 30], batch: batch)
    }
    try expectUnchanged()
  }

  @Test func wrongLogitsAreNotWritten() throws {
    let logits = try Arena([Float](repeating: 7, count: 59))
    try data.withBatch { batch in
      #expect(throws: SFError.sizeMismatch(.logits, tensor: nil, got: 59, expected: 60)) {
        try network.forward(batch: batch, into: logits.all)
      }
    }
    #expect(logits.values.allSatisfy { $0 == 7 })
  }

  @Test func wrongSettingsChangeNothing() throws {
    try data.withBatch { batch in
      #expect(throws: SFError.badHyperparameter(name: "momentum", value: -1)) {
        try network.train(batch: batch, sgd: SGD(learningRate: 0.1, momentum: -1))
      }
    }
    try expectUnchanged()
  }

  @Test func wrongMasksChangeNothing() throws {
    #expect(throws: SFError.sizeMismatch(.masks, tensor: 0, got: 18, expected: 30)) {
      try network.apply([[UInt8](repeating: 0, count: 18), [UInt8](repeating: 0, count: 18)])
    }
    try expectUnchanged()
  }

  /// A loss that is not finite is returned, and the step is not taken.
  @Test(arguments: [Float.nan, .infinity])
  func lossThatIsNotFiniteChangesNothing(value: Float) throws {
    let input = data.inputs.values[12]
    data.inputs.all.write(value, at: 12)
    try data.withBatch { batch in
      let losses = [
        try network.train(batch: batch, sgd: sgd).loss, try network.evaluate(batch: batch).loss,
      ]
      #expect(losses.allSatisfy { !$0.isFinite })
      let (result, gradients) = try network.gradients(batch)
      #expect(!result.loss.isFinite)
      #expect(gradients.joined().contains { !$0.isFinite })
    }
    data.inputs.all.write(input, at: 12)
    try expectUnchanged()
  }
}
