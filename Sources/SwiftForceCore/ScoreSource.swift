// Where scores come from: tensors and a saliency, or the caller's own scores. Selection asks a
// source for one block of keys after another, so scores are never stored. This file joins the
// saliency and the element type to the loop that computes it; it decides nothing.

import SwiftForceKernels

/// A stretch of one tensor, small enough that its keys stay in the innermost cache.
struct Block {
  /// Position of the tensor in its list.
  let tensor: Int
  /// The elements, in memory order.
  let range: Range<Int>
  /// How many elements of all tensors lie before the first.
  let offset: Int

  static let largestCount = 4096
}

/// The scores of a list of tensors, as keys, block by block.
struct ScoreSource {
  private enum Scores {
    case given([Tensor])
    case saliency(Saliency, weights: [Tensor], gradients: [Tensor]?, seed: UInt64)
  }

  private let scores: Scores
  private let candidates: [Mask]?

  /// The caller's scores, of either sign; all compete.
  init(given scores: [Tensor]) {
    self.scores = .given(scores)
    candidates = nil
  }

  /// - Parameters:
  ///   - gradients: one per tensor of weights and of its size, where the saliency reads them.
  ///   - candidates: the weights that compete; nil: all.
  init(
    _ saliency: Saliency, weights: [Tensor], gradients: [Tensor]?, candidates: [Mask]?,
    seed: UInt64
  ) throws(SFError) {
    if saliency.readsGradients && gradients == nil { throw .missingGradients }
    scores = .saliency(
      saliency, weights: weights, gradients: saliency.readsGradients ? gradients : nil, seed: seed)
    self.candidates = candidates
  }

  /// The gradients, where scores are computed from them.
  var gradients: [Tensor]? {
    guard case .saliency(_, _, let gradients, _) = scores else { return nil }
    return gradients
  }

  /// Sizes of the tensors.
  var sizes: [Int] {
    switch scores {
    case .given(let tensors), .saliency(_, let tensors, _, _): tensors.map(\.count)
    }
  }

  /// Calls `body` for every block, in order.
  func forEachBlock(_ body: (Block) throws(SFError) -> Void) throws(SFError) {
    var offset = 0
    for (tensor, size) in sizes.enumerated() {
      for start in stride(from: 0, to: size, by: Block.largestCount) {
        let end = min(size, start + Block.largestCount)
        try body(Block(tensor: tensor, range: start..<end, offset: offset + start))
      }
      offset += size
    }
  }

  /// Fills `keys` with the keys of a block.
  ///
  /// - Returns: whether all products are finite, those of weights that do not compete included;
  ///   `nonFinite` tells whether one that is not matters.
  func fill(_ keys: KeyBuffer, for block: Block) -> Bool {
    let count = block.range.count
    let start = block.range.lowerBound
    let isFinite: Bool
    switch scores {
    case .given(let tensors):
      let scores = unsafe tensors[block.tensor].floats + start
      isFinite = unsafe ScoreKeys.given(scores, count: count, into: keys.base)
    case .saliency(let saliency, let weights, let gradients, let seed):
      let weights = unsafe weights[block.tensor].floats + start
      let gradients = unsafe gradients.map { unsafe $0[block.tensor].floats + start }
      isFinite = unsafe ScoreSource.fill(
        keys, saliency, weights, gradients ?? weights, count, seed, block.offset)
    }
    if let mask = candidates?[block.tensor] {
      unsafe ScoreKeys.excludeRemoved(mask.base + start, count: count, from: keys.base)
    }
    return isFinite
  }

  private static func fill(
    _ keys: KeyBuffer, _ saliency: Saliency, _ weights: UnsafePointer<Float>,
    _ gradients: UnsafePointer<Float>, _ count: Int, _ seed: UInt64, _ offset: Int
  ) -> Bool {
    switch saliency {
    case .connectionSensitivity:
      unsafe ScoreKeys.connectionSensitivity(weights, gradients, count: count, into: keys.base)
    case .squaredGradient:
      unsafe ScoreKeys.squaredGradient(gradients, count: count, into: keys.base)
    case .magnitude:
      unsafe ScoreKeys.magnitude(weights, count: count, into: keys.base)
    case .random:
      unsafe ScoreKeys.random(count: count, into: keys.base) { i in
        Generator.number(at: offset + i, seed: seed)
      }
    }
  }

  /// Names the first tensor with a weight, a gradient or the score of a competing weight that is
  /// not finite; nil where there is none.
  func nonFinite() -> NonFinite? {
    switch scores {
    case .given(let tensors): FiniteCheck.first(in: tensors, as: .scores)
    case .saliency(let saliency, let weights, let gradients, _):
      FiniteCheck.first(in: weights, as: .weights)
        ?? gradients.flatMap { gradients in
          FiniteCheck.first(in: gradients, as: .gradients)
            ?? FiniteCheck.first(
              inProductsOf: saliency.readsWeights ? weights : gradients, gradients, of: candidates)
        }
    }
  }
}

/// Room for the keys of one block.
@safe final class KeyBuffer {
  let base: UnsafeMutablePointer<UInt32>

  init() {
    unsafe base = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
  }

  deinit { unsafe base.deallocate() }
}
