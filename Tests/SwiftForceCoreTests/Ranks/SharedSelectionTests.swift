// Searches on one to seven ranks against one search over all tensors: the same masks, bit for bit,
// and the same reports.

import Testing

@testable import SwiftForceCore

@Suite struct SharedSelectionTests {
  /// Every kind of data that the other tests of selection use.
  @Test(arguments: Kind.allCases)
  func everyKindOfData(kind: Kind) throws {
    for (ranks, method) in zip([1, 2, 3, 4, 5, 6, 7], Method.allCases + [.force]) {
      let network = shardedNetwork(
        [700, 0, 1, 1500, 99], types: [.float32], ranks: ranks, steps: 3, whole: ranks % 2 == 0,
        seed: UInt64(ranks)
      ) { count, step, type in
        // Gradients of few bits, so that sums of products are exact; see Kind.
        step == 0
          ? kind.values(count, for: type)
          : (0..<count).map { [0.5, -1, 2, 0.25, -2][($0 * 7 + step) % 5] }
      }
      let keeps = method.isOneShot ? [400] : [1800, 700, 23]
      try checkShared(network, method, keeps: keeps, "\(kind) \(method) on \(ranks) ranks")
    }
  }

  /// The position among the weights of all ranks decides which ties are kept.
  @Test(arguments: 1...7)
  func tiesAndZeros(ranks: Int) throws {
    for (values, isWhole) in [([0.0], false), ([1, 1, 1, 0], true), ([0, 0, 2], false)] {
      for method in Method.allCases {
        let network = shardedNetwork(
          [3000, 2, 2100, 0, 17, 5000], types: [.float32], ranks: ranks, steps: 3,
          whole: isWhole, seed: 9
        ) { count, step, _ in (0..<count).map { values[($0 + step) % values.count] } }
        let keeps = method.isOneShot ? [2222] : [9000, 2500, 1]
        try checkShared(network, method, keeps: keeps, "\(values) \(method) on \(ranks) ranks")
      }
    }
  }

  /// Scores are binary64 on all ranks if one rank has an array in binary64.
  @Test(arguments: [2, 3, 5])
  func mixedTypes(ranks: Int) throws {
    for kind in [Kind.random, .fewValues, .halfZeros] {
      for types in [
        [ElementType.float16, .bfloat16, .float32], [.float32, .float32, .float64],
        [.float64, .float16],
      ] {
        for method in [Method.force, .iterativeSnip, .graspIt, .magnitude] {
          let network = shardedNetwork(
            [600, 513, 1024, 40], types: types, ranks: ranks, steps: 2, whole: ranks == 3, seed: 2
          ) { count, step, type in
            step == 0
              ? kind.values(count, for: type)
              : (0..<count).map { Double(($0 * 11 + step) % 9) - 4 }
          }
          let keeps = method.isOneShot ? [1000] : [1500, 300]
          try checkShared(network, method, keeps: keeps, "\(kind) \(types) \(method)")
        }
      }
    }
  }

  /// Several chunks and threads, and a second and third digit of positions.
  @Test(arguments: [Method.force, .iterativeSnip, .random])
  func largeTensors(method: Method) throws {
    for isTied in [false, true] {
      let network = shardedNetwork(
        [Chunk.largestCount * 2 + 5, 100_000], types: [.float32], ranks: 3, steps: 2,
        whole: false, seed: 4
      ) { count, step, _ in
        isTied
          ? (0..<count).map { $0 % 3 == 0 ? 1 : 0 }
          : shortNumbers(count, seed: UInt64(step)).map { Double($0) }
      }
      let keeps = method.isOneShot ? [50_000] : [200_000, 30_000]
      try checkShared(network, method, keeps: keeps, "\(method), tied: \(isTied)")
    }
  }

  /// Ranks may run on different kinds of machines.
  @Test func levelsAndThreadsOfEachRank() throws {
    let count = 60_000
    let weights = Stored(.float32, Kind.halfZeros.values(count).map { Double($0) })
    let pieces = [20_001, 0, 39_999]
    let masks = Memory<UInt8>(masksOf: count)
    let group = RankGroup(3)
    let reports = group.run { rank in
      Result { () throws(SFError) in
        let scores = try Scores(
          .magnitude, weights: [weights.tensors(pieces)[rank]], gradients: nil, previous: nil,
          seed: 0)
        return try SharedSelection.select(
          MaskSelection(
            scores: scores, keep: 45_000, masks: [masks.masks(pieces)[rank]], previous: nil,
            applying: nil),
          of: count, ranks: group.ranks(starts: [pieces[..<rank].reduce(0, +)]), digest: 1,
          kept: (nil, onThisRank: nil), level: CPULevel.available[rank % CPULevel.available.count],
          threads: rank + 1)
      }
    }
    let oracle = Oracle(weights.values.map(\.magnitude), keep: 45_000, sizes: [count])
    #expect(masks.values == oracle.mask)
    for report in reports { #expect(common(try report.get().0) == common(oracle.report)) }
  }

  /// Each rank has a block of columns of each row of a matrix, and ties are kept by position in the
  /// whole matrix.
  @Test(arguments: [Method.magnitude, .random], [(37, 210), (3, 9000), (500, 3)])
  func blocksOfColumns(method: Method, shape: (rows: Int, columns: Int)) throws {
    let (rows, columns) = shape
    let values = (0..<rows * columns).map { Float($0 * 7 % 5) }
    let keep = rows * columns / 3
    let expected = Memory<UInt8>(masksOf: values.count)
    var single = try Search(method, sizes: [values.count], keep: keep, steps: 1, seed: 3)
    let whole = Memory<Float>(values)
    let one = try withExtendedLifetime(whole) {
      try single.step(
        weights: whole.tensors([values.count]), gradients: nil, previous: nil,
        masks: expected.masks([values.count]))
    }
    let cuts = [0, columns / 3, columns / 3 + 1, columns]
    let group = RankGroup(3)
    let outcomes = group.run { rank in
      Result { () throws(SFError) in
        let own = cuts[rank]..<cuts[rank + 1]
        let size = rows * own.count
        let block = (0..<rows).flatMap { row in own.map { values[row * columns + $0] } }
        let (weights, masks) = (Memory<Float>(block), Memory<UInt8>(masksOf: size))
        var search = try Search(
          method, sizes: [size], keep: keep, steps: 1, seed: 3, total: values.count)
        let placement = Placement(
          start: own.lowerBound, extents: [rows, own.count], strides: [columns, 1])
        let report = try search.step(
          weights: weights.tensors([size]), gradients: nil, previous: nil,
          masks: masks.masks([size]), ranks: group.ranks([placement], arePieces: true))
        return withExtendedLifetime(weights) { (report, masks.values) }
      }
    }
    for (rank, outcome) in outcomes.enumerated() {
      let (report, mask) = try outcome.get()
      let own = cuts[rank]..<cuts[rank + 1]
      let same = (0..<rows).flatMap { row in own.map { expected.values[row * columns + $0] } }
      let isSame = mask == same
      #expect(isSame)
      #expect(report.layerKept == [keep])
      #expect(agree(common(report), common(one)))
    }
  }

  /// Some ranks may own no tensor.
  @Test func noTensors() throws {
    let weights = Memory<Float>([3, 1, 2])
    let masks = Memory<UInt8>(masksOf: 3)
    let group = RankGroup(2)
    let reports = group.run { rank in
      Result { () throws(SFError) in
        var search = try Search(
          .magnitude, sizes: rank == 0 ? [] : [3], keep: 2, steps: 1, total: 3)
        return try search.step(
          weights: rank == 0 ? [] : weights.tensors([3]), gradients: nil, previous: nil,
          masks: rank == 0 ? [] : masks.masks([3]),
          ranks: group.ranks(starts: rank == 0 ? [] : [0]))
      }
    }
    #expect(masks.values == [1, 0, 1])
    #expect(try reports.map { try $0.get().layerKept } == [[], [2]])
  }
}
