// Networks whose sparse layers have no dense weights, against those that have them: views that are
// held and let go, copies that are put back, masks that are asked for. What must not live here: how
// much memory that takes (Tests/python/nn).

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct DenseWeightsTests {
  private let sgd = SGD(learningRate: 0.05, momentum: 0.9, weightDecay: 1e-3)

  private func masks<Element>(
    of network: Network<Element>, density: Double, seed: UInt64 = 7
  ) -> [[UInt8]] {
    var generator = Generator(seed: seed)
    return network.weightSizes.map { size in
      (0..<size).map { _ in generator.nextUniform() < density ? 1 : 0 }
    }
  }

  private func letGo<Element>(_ network: Network<Element>) {
    for position in network.parameters.indices { network.holds.end(position) }
  }

  private func hold<Element>(_ network: Network<Element>) {
    for position in network.parameters.indices { network.hold(position) }
  }

  private func hasDense<Element>(_ network: Network<Element>) -> Bool {
    network.sparse.contains { $0?.isInDense == true }
  }

  /// Batches whose parts are large and small: 40 alone, 7 alone, and 256 with 9.
  @Test(arguments: imageNetworks, [40, 7, 265])
  func trainsTheSameWithoutDenseWeights(form: ImageNetwork, batch: Int) throws {
    let held = try makeNetwork(form, as: Double.self)
    let free = try makeNetwork(form, as: Double.self)
    let masks = masks(of: held, density: 0.3)
    letGo(free)
    for network in [held, free] { try network.apply(masks) }
    let data = try DataSet<Double>(
      samples: batch, features: held.features, classes: held.classes)
    try data.withBatch { batch in
      for step in 0..<9 {
        // Views that come and go between steps change nothing.
        if step == 3 { hold(free) }
        if step == 5 { letGo(free) }
        let (expected, found) = (
          try held.train(batch: batch, sgd: sgd), try free.train(batch: batch, sgd: sgd)
        )
        #expect(expected == found)
        #expect(try held.logits(batch) == free.logits(batch))
        #expect(try held.gradients(batch).values == free.gradients(batch).values)
        // With 265, whether the last 9 are computed alone depends on the network.
        let isSmall = batch.count < SparseBatch.width
        if batch.count < 256 {
          #expect(hasDense(free) == (isSmall || step == 3 || step == 4))
        }
        #expect(hasDense(held))
      }
    }
    hold(free)
    #expect(held.values == free.values)
    for (weights, mask) in zip(free.weightValues, masks) {
      #expect(zip(weights, mask).allSatisfy { $1 == 1 || $0 == 0 })
    }
  }

  /// Masks that change take the weights from where they are.
  @Test func masksMayChangeWithoutDenseWeights() throws {
    let networks = try (0..<2).map { _ in try makeNetwork(imageNetworks[0], as: Float.self) }
    letGo(networks[1])
    let data = try DataSet<Float>(
      samples: 20, features: networks[0].features, classes: networks[0].classes)
    try data.withBatch { batch in
      for (seed, density) in [0.4, 0.3, 0.9, 0.2].enumerated() {
        let next = masks(of: networks[0], density: density, seed: UInt64(seed))
        for network in networks {
          try network.apply(next)
          for _ in 0..<2 { _ = try network.train(batch: batch, sgd: sgd) }
        }
        #expect(try networks[0].logits(batch) == networks[1].logits(batch))
      }
      for network in networks { try network.apply(masks: nil) }
      hold(networks[1])
      #expect(networks[0].values == networks[1].values)
    }
  }

  /// What is put back is masked by the masks of then; the dense and the compact form agree.
  @Test(arguments: [nil, 0.3, 0.95], [nil, 0.2, 0.95])
  func restoresWhatWasRemembered(before: Double?, after: Double?) throws {
    for isHeld in [true, false] {
      let network = try makeNetwork(imageNetworks[0], as: Float.self)
      if !isHeld { letGo(network) }
      if let before { try network.apply(masks(of: network, density: before)) }
      let data = try DataSet<Float>(
        samples: 20, features: network.features, classes: network.classes)
      try data.withBatch { batch in
        _ = try network.train(batch: batch, sgd: sgd)
        hold(network)
        var expected = network.values
        letGo(network)
        try network.remember()
        _ = try network.train(batch: batch, sgd: sgd)
        if after != before {
          let later = after.map { masks(of: network, density: $0, seed: 3) }
          if let later { try network.apply(later) } else { try network.apply(masks: nil) }
          var remaining = (later ?? [])[...]
          for (i, parameter) in network.parameters.enumerated() where parameter.role == .weight {
            guard let mask = remaining.popFirst() else { continue }
            expected[i] = zip(expected[i], mask).map { $1 == 1 ? $0 : 0 }
          }
          _ = try network.train(batch: batch, sgd: sgd)
        }
        network.restore()
        let logits = try network.logits(batch)
        hold(network)
        #expect(network.values == expected)
        #expect(try network.logits(batch) == logits)
        #expect(
          network.parameters.indices.map(network.largestMagnitude)
            == network.values.map { $0.map(\.magnitude).max() ?? 0 })
        network.forget()
        network.restore()
        #expect(network.values == expected)
      }
    }
  }

  @Test(arguments: [true, false]) func givesTheMasksThatAreApplied(isSparse: Bool) throws {
    let network = try makeNetwork(imageNetworks[0], as: Float.self)
    let targets = try network.weightSizes.map { try Arena<UInt8>([UInt8](repeating: 9, count: $0)) }
    #expect(try !network.writeMasks(to: targets.map(\.all)))
    #expect(targets.allSatisfy { $0.values.allSatisfy { $0 == 9 } })
    let masks = masks(of: network, density: 0.3)
    let arenas = try masks.map { try Arena($0) }
    try network.apply(
      masks: arenas.map { unsafe Mask($0.all.base, count: $0.count) }, isSparse: isSparse)
    withExtendedLifetime(arenas) {}
    #expect(try network.writeMasks(to: targets.map(\.all)))
    #expect(targets.map(\.values) == masks)
    #expect(throws: SFError.self) { try network.writeMasks(to: []) }
    try network.apply(masks: nil)
    #expect(try !network.writeMasks(to: targets.map(\.all)))
  }

  @Test func largestMagnitudeTellsOfNaN() throws {
    let values = try Arena<Float>([1, -3, 2])
    #expect(values.all.largestMagnitude == 3)
    values.all.write([1, .nan, 2])
    #expect(values.all.largestMagnitude.isNaN)
    values.all.write([1, -.infinity, 2])
    #expect(values.all.largestMagnitude == .infinity)
  }
}
