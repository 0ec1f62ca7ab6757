// The tensors of a network, and how they are distributed over ranks. What must not live here:
// expectations.

@testable import SwiftForceCore

/// The tensors of a network, each divided into one piece per rank.
struct ShardedNetwork {
  var weights: [Stored]
  /// For each step, the gradients of each tensor.
  var gradients: [[Stored]]
  /// For each tensor, the number of elements of each rank's piece.
  var pieces: [[Int]]
  let ranks: Int

  var sizes: [Int] { pieces.map { $0.reduce(0, +) } }
  var total: Int { sizes.reduce(0, +) }

  /// The pieces of a rank; nil: the whole tensors.
  func parts<Part>(_ rank: Int?, _ cut: (Int, [Int]) -> [Part]) -> [Part] {
    pieces.indices.map { t in rank.map { cut(t, pieces[t])[$0] } ?? cut(t, [sizes[t]])[0] }
  }

  /// Where the pieces of a rank begin.
  func starts(_ rank: Int) -> [Int] {
    var offset = 0
    return zip(pieces, sizes).map { pieces, size in
      defer { offset += size }
      return offset + pieces[..<rank].reduce(0, +)
    }
  }
}

/// The arrays that a search writes: a mask and masked weights for each whole tensor.
final class SearchOutput {
  var masks: [Memory<UInt8>]
  var masked: [Stored]

  init(_ network: ShardedNetwork) {
    masks = network.sizes.map { Memory(masksOf: $0) }
    masked = network.weights.map { Stored($0.type, bits: $0.bits.map { _ in 0x5A5A }) }
  }

  var isIntact: Bool { masks.allSatisfy(\.isIntact) && masked.allSatisfy(\.isIntact) }
}

extension ShardedNetwork {
  /// Takes one step on a rank, with the previous masks in `before`.
  ///
  /// - Parameter rank: nil: a search in one process.
  func step(
    _ search: inout Search, _ t: Int, rank: Int?, from before: [Memory<UInt8>]?,
    into output: SearchOutput, _ group: RankGroup? = nil
  ) throws(SFError) -> Report {
    let others = rank.flatMap { rank in group?.ranks(starts: starts(rank)) }
    let report = try search.step(
      weights: parts(rank) { weights[$0].tensors($1) },
      gradients: search.method.saliency.readsGradients
        ? parts(rank) { gradients[t][$0].tensors($1) } : nil,
      previous: before.map { before in parts(rank) { before[$0].masks($1) } },
      masks: parts(rank) { output.masks[$0].masks($1) },
      masked: parts(rank) { output.masked[$0].mutableTensors($1) }, ranks: others)
    return withExtendedLifetime((self, before, output)) { report }
  }
}

/// A network whose tensors have these sizes and types.
///
/// - Parameter whole: whether each tensor belongs to one rank instead of being divided.
func shardedNetwork(
  _ sizes: [Int], types: [ElementType], ranks: Int, steps: Int, whole: Bool, seed: UInt64,
  values: (Int, Int, ElementType) -> [Double]
) -> ShardedNetwork {
  var generator = TestGenerator(state: seed)
  let pieces = sizes.enumerated().map { t, size -> [Int] in
    if whole {
      // Each tensor belongs to one rank. With more ranks than tensors, some ranks have nothing.
      return (0..<ranks).map { $0 == t * ranks / sizes.count ? size : 0 }
    }
    let cuts = (1..<max(1, ranks)).map { _ in Int.random(in: 0...size, using: &generator) }.sorted()
    return zip(cuts + [size], [0] + cuts).map { $0 - $1 }
  }
  func stored(_ step: Int, _ shift: Int) -> [Stored] {
    sizes.enumerated().map { t, size in
      let type = types[(t + shift) % types.count]
      return Stored(type, values(size, step, type))
    }
  }
  return ShardedNetwork(
    weights: stored(0, 0), gradients: (1...steps).map { stored($0, 1) }, pieces: pieces,
    ranks: ranks)
}
