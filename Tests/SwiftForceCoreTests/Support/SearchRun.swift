// A search with the arrays that its caller would own. What must not live here: expectations.

import SwiftForceCore

/// A search, its weights, and the masks and masked weights that its steps write.
final class SearchRun {
  private(set) var search: Search
  let weights: Memory<Float>
  /// The masks of the last step. A step writes new masks, which replace these if it succeeds.
  private(set) var masks: Memory<UInt8>
  let masked: Memory<Float>

  init(_ search: Search, weights: [Float]) {
    self.search = search
    self.weights = Memory(weights)
    masks = Memory(masksOf: weights.count)
    masked = Memory([Float](repeating: -5, count: weights.count))
  }

  /// A search over one tensor.
  convenience init(
    _ method: Method, _ weights: [Float], keeps: [Int], seed: UInt64 = 0
  ) throws {
    self.init(
      try Search(
        method, sizes: [weights.count], keep: keeps[keeps.count - 1], keeps: keeps, seed: seed),
      weights: weights)
  }

  @discardableResult
  func step(gradients: [Float]?, writesMasked: Bool = true) throws -> Report {
    let memory = gradients.map { Memory($0) }
    let next = Memory(masksOf: weights.count)
    var report = try withExtendedLifetime((self, memory, next)) {
      try search.step(
        weights: weights.tensors(search.sizes), gradients: memory?.tensors(search.sizes),
        previous: search.taken == 0 ? nil : masks.masks(search.sizes),
        masks: next.masks(search.sizes),
        masked: writesMasked ? masked.mutableTensors(search.sizes) : nil)
    }
    masks = next
    // The number of passes is not part of the result.
    report.passes = 0
    return report
  }

  /// A step with tensors of sizes that the caller chooses.
  func step(
    weightSizes: [Int], gradientSizes: [Int], maskSizes: [Int], maskedSizes: [Int]
  ) throws {
    let next = Memory(masksOf: weights.count)
    _ = try withExtendedLifetime((self, next)) {
      try search.step(
        weights: weights.tensors(weightSizes), gradients: weights.tensors(gradientSizes),
        previous: masks.masks(search.sizes), masks: next.masks(maskSizes),
        masked: masked.mutableTensors(maskedSizes))
    }
  }

  /// Everything that a step may change.
  var state: State {
    State(
      taken: search.taken, isDone: search.isDone, masks: masks.values, masked: masked.bits,
      isIntact: masks.isIntact && masked.isIntact && weights.isIntact)
  }

  struct State: Equatable {
    var taken: Int
    var isDone: Bool
    var masks: [UInt8]
    var masked: [UInt32]
    var isIntact: Bool
  }
}
