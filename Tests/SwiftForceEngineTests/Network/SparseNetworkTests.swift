// Masked networks that compute with kept weights alone, against the same networks with dense kernels.
// What must not live here: single products (Sparse/).

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct SparseNetworkTests {
  private let sgd = SGD(learningRate: 0.05, momentum: 0.9, weightDecay: 1e-3)

  private func masks<Element>(
    of network: Network<Element>, density: Double, seed: UInt64 = 7
  ) -> [[UInt8]] {
    var generator = Generator(seed: seed)
    return network.weightSizes.map { size in
      (0..<size).map { _ in generator.nextUniform() < density ? 1 : 0 }
    }
  }

  private func apply<Element>(
    _ masks: [[UInt8]], to network: Network<Element>, isSparse: Bool
  ) throws {
    let arenas = try masks.map { try Arena($0) }
    try network.apply(
      masks: arenas.map { unsafe Mask($0.all.base, count: $0.count) }, isSparse: isSparse)
    withExtendedLifetime(arenas) {}
  }

  /// Batches whose parts are large and small: 40 alone, 7 alone, and 256 with 9.
  @Test(arguments: imageNetworks, [(40, 0.3), (7, 0.3), (265, 0.2), (40, 0)])
  func trainsAsDenseKernelsDo(form: ImageNetwork, how: (batch: Int, density: Double)) throws {
    let (dense, sparse) = (
      try makeNetwork(form, as: Double.self), try makeNetwork(form, as: Double.self)
    )
    let masks = masks(of: dense, density: how.density)
    try apply(masks, to: dense, isSparse: false)
    try apply(masks, to: sparse, isSparse: true)
    #expect(dense.sparse.allSatisfy { $0 == nil })
    #expect(sparse.sparse.contains { $0 != nil })
    let data = try DataSet<Double>(
      samples: how.batch, features: dense.features, classes: dense.classes)
    try data.withBatch { batch in
      for _ in 0..<20 {
        let (expected, found) = (
          try dense.train(batch: batch, sgd: sgd), try sparse.train(batch: batch, sgd: sgd)
        )
        #expect((expected.loss - found.loss).magnitude < 1e-10)
        #expect(expected.correct == found.correct)
      }
      for (expected, found) in zip(dense.values, sparse.values) {
        #expect(absoluteError(found, expected) < 1e-10)
      }
      #expect(absoluteError(try sparse.logits(batch), try dense.logits(batch)) < 1e-10)
      let (expected, found) = (try dense.gradients(batch), try sparse.gradients(batch))
      #expect((expected.result.loss - found.result.loss).magnitude < 1e-10)
      for (expected, found) in zip(expected.values, found.values) {
        #expect(absoluteError(found, expected) < 1e-10)
      }
    }
    for (weights, mask) in zip(sparse.weightValues, masks) {
      #expect(zip(weights, mask).allSatisfy { $1 == 1 || $0 == 0 })
    }
  }

  @Test(arguments: imageNetworks)
  func binary32FollowsDenseKernelsForAHundredSteps(form: ImageNetwork) throws {
    let (dense, sparse) = (
      try makeNetwork(form, as: Float.self), try makeNetwork(form, as: Float.self)
    )
    let masks = masks(of: dense, density: 0.3)
    try apply(masks, to: dense, isSparse: false)
    try apply(masks, to: sparse, isSparse: true)
    let data = try DataSet<Float>(samples: 20, features: dense.features, classes: dense.classes)
    try data.withBatch { batch in
      for _ in 0..<100 {
        let (expected, found) = (
          try dense.train(batch: batch, sgd: sgd), try sparse.train(batch: batch, sgd: sgd)
        )
        #expect((expected.loss - found.loss).magnitude < 1e-4)
      }
    }
  }

  /// Masks, and the way of computing with them, may change between steps: momentum goes on.
  @Test func momentumStaysWhenMasksChange() throws {
    let form = imageNetworks[0]
    let networks = try (0..<2).map { _ in try makeNetwork(form, as: Double.self) }
    let data = try DataSet<Double>(
      samples: 20, features: networks[0].features, classes: networks[0].classes)
    let stages: [(density: Double?, isSparse: Bool)] = [
      (nil, true), (0.4, true), (0.3, true), (0.9, true), (0.2, false), (0.3, true), (nil, true),
    ]
    try data.withBatch { batch in
      for (number, stage) in stages.enumerated() {
        for (network, mayBeSparse) in zip(networks, [false, true]) {
          if let density = stage.density {
            let masks = masks(of: network, density: density, seed: UInt64(number))
            try apply(masks, to: network, isSparse: mayBeSparse && stage.isSparse)
          } else {
            try network.apply(masks: nil)
          }
          for _ in 0..<3 { _ = try network.train(batch: batch, sgd: sgd) }
        }
        for (expected, found) in zip(networks[0].values, networks[1].values) {
          #expect(absoluteError(found, expected) < 1e-11, "stage \(number)")
        }
      }
      for network in networks { network.resetOptimizer() }
      for network in networks { _ = try network.train(batch: batch, sgd: sgd) }
      for (expected, found) in zip(networks[0].values, networks[1].values) {
        #expect(absoluteError(found, expected) < 1e-11)
      }
    }
  }

  /// What a caller writes to the network's weights is trained on; what was removed stays zero.
  @Test func writtenWeightsAreUsed() throws {
    let network = try makeNetwork(imageNetworks[0], as: Float.self)
    let other = try makeNetwork(imageNetworks[0], as: Float.self)
    let masks = masks(of: network, density: 0.3)
    for (network, isSparse) in [(network, true), (other, false)] {
      try apply(masks, to: network, isSparse: isSparse)
      for (parameter, mask) in zip(network.weightParameters, masks) {
        parameter.view.write(
          zip(uniform(mask.count, seed: 3) as [Float], mask).map { $1 == 1 ? $0 : 0 })
      }
    }
    let data = try DataSet<Float>(samples: 32, features: network.features, classes: network.classes)
    try data.withBatch { batch in
      let (found, expected) = (try network.logits(batch), try other.logits(batch))
      #expect(absoluteError(found, expected) < 1e-5)
    }
  }

  /// Also in batches that are too small for the sparse loops, alone or at the end of others.
  @Test(arguments: [7, 265]) func whatIsWrittenToRemovedWeightsHasNoEffect(batch: Int) throws {
    let layers: [LayerDescription] = [.linear(6, 9), .relu, .linear(9, 4)]
    let networks = try (0..<2).map { _ in try makeNetwork(layers, as: Float.self) }
    let masks = masks(of: networks[0], density: 0.2)
    for network in networks { try apply(masks, to: network, isSparse: true) }
    for (parameter, mask) in zip(networks[0].weightParameters, masks) {
      for (i, kept) in mask.enumerated() where kept == 0 { parameter.view.write(.nan, at: i) }
    }
    let data = try DataSet<Float>(samples: batch, features: 6, classes: 4)
    try data.withBatch { batch in
      let results = try networks.map { try $0.train(batch: batch, sgd: sgd) }
      #expect(results[0] == results[1])
    }
    #expect(networks[0].values == networks[1].values)
  }
}
