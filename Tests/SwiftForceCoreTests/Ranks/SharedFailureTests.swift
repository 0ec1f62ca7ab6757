// Steps that fail on one rank or on all: what every rank throws, and that nothing was changed.

import Testing

@testable import SwiftForceCore

@Suite struct SharedFailureTests {
  /// A search of two steps with FORCE on three ranks, after its first step.
  private final class Run {
    let network: ShardedNetwork
    var searches: [Search]
    let output: SearchOutput
    let before: [Memory<UInt8>]

    init() throws {
      network = shardedNetwork(
        [9], types: [.float32], ranks: 3, steps: 2, whole: false, seed: 1
      ) { count, step, _ in (0..<count).map { Double(($0 * 5 + step) % 9 + 1) } }
      let (network, output) = (network, SearchOutput(network))
      var searches = try network.pieces[0].map {
        try Search(.force, sizes: [$0], keep: 2, keeps: [5, 2], total: 9)
      }
      let group = RankGroup(3)
      let (started, first) = (searches, output)
      searches = try group.run { rank -> Result<Search, SFError> in
        var search = started[rank]
        return Result { () throws(SFError) in
          _ = try network.step(&search, 0, rank: rank, from: nil, into: first, group)
          return search
        }
      }.map { try $0.get() }
      self.searches = searches
      before = output.masks
      self.output = SearchOutput(network)
      self.output.masked = output.masked
    }

    /// The errors of the ranks in the second step. After an error nothing must have changed.
    func errors(
      _ group: RankGroup = RankGroup(3),
      _ step: ((inout Search, Int, RankGroup) throws(SFError) -> Void)? = nil
    ) -> [SFError?] {
      let masked = output.masked.map(\.bits)
      let (started, network, before, output) = (searches, network, before, output)
      let errors = group.run { rank -> SFError? in
        var search = started[rank]
        do throws(SFError) {
          if let step {
            try step(&search, rank, group)
          } else {
            _ = try network.step(&search, 1, rank: rank, from: before, into: output, group)
          }
          return nil
        } catch {
          if search.taken != 1 { Issue.record("a step that failed was taken") }
          return error
        }
      }
      if errors.contains(where: { $0 != nil }) {
        #expect(output.masked.map(\.bits) == masked)
      }
      return errors
    }
  }

  @Test func aStepThatFailsNowhereIsTaken() throws {
    #expect(try Run().errors() == [nil, nil, nil])
  }

  @Test(arguments: 0..<3)
  func aNumberThatIsNotFinite(rank: Int) throws {
    let run = try Run()
    let sizes = run.network.pieces[0]
    try #require(sizes[rank] > 0)
    let position = sizes[..<rank].reduce(0, +)
    let errors = run.errors(RankGroup(3)) { (search, own, group) throws(SFError) in
      var network = run.network
      var gradients = network.gradients[1][0].values
      gradients[position] = .nan
      network.gradients[1][0] = Stored(.float32, gradients)
      _ = try network.step(
        &search, 1, rank: own, from: run.before, into: run.output, group)
    }
    for (other, error) in errors.enumerated() {
      guard other == rank else {
        #expect(error == .rankFailed)
        continue
      }
      guard case .nonFinite(let found) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(found.operand == .gradients && found.firstIndex == 0 && found.count == 1)
    }
    #expect(run.errors() == [nil, nil, nil])
  }

  @Test func masksThatChanged() throws {
    let run = try Run()
    let values = run.before[0].values
    let size = run.network.pieces[0][0]
    let kept = values[..<size].count { $0 == 1 }
    run.before[0].values[0] ^= 1
    let now = kept + (values[0] == 1 ? -1 : 1)
    #expect(
      run.errors() == [.masksChanged(kept: now, expected: kept), .rankFailed, .rankFailed])
    run.before[0].values = values
    #expect(run.errors() == [nil, nil, nil])
  }

  /// Each rank checks its arguments before any rank waits for another.
  @Test func aBadArgument() throws {
    let run = try Run()
    let errors = run.errors(RankGroup(3)) { (search, rank, group) throws(SFError) in
      if rank == 1 {
        _ = try search.step(
          weights: [], gradients: [], previous: nil, masks: [], ranks: group.ranks(starts: [3]))
      } else {
        _ = try run.network.step(
          &search, 1, rank: rank, from: run.before, into: run.output, group)
      }
    }
    #expect(errors[0] == .rankFailed && errors[2] == .rankFailed)
    #expect(errors[1] == .sizeMismatch(.weights, tensor: nil, got: 0, expected: 1))
    #expect(run.errors() == [nil, nil, nil])
  }

  @Test func aRankThatReportsFailure() throws {
    let run = try Run()
    let errors = run.errors(RankGroup(3)) { (search, rank, group) throws(SFError) in
      if rank == 2 {
        group.ranks(starts: []).reportFailure()
        throw .missingGradients
      }
      _ = try run.network.step(&search, 1, rank: rank, from: run.before, into: run.output, group)
    }
    #expect(errors == [.rankFailed, .rankFailed, .missingGradients])
    #expect(run.errors() == [nil, nil, nil])
  }

  /// Ranks with different schedules, steps, methods or seeds, and weights that no rank holds.
  @Test func ranksThatDoNotFitTogether() throws {
    func search(
      _ method: Method = .force, size: Int = 3, keeps: [Int] = [5, 2], seed: UInt64 = 0,
      taken: Int = 0
    ) throws -> Search {
      try Search(
        method, sizes: [size], keep: 2, keeps: keeps, seed: seed, total: 9, taken: taken)
    }
    let fine = try search()
    let odds = [
      try search(keeps: [4, 2]), try search(taken: 1), try search(.iterativeSnip),
      try search(seed: 1), try search(size: 2), fine,
    ]
    let numbers = Memory<Float>([1, 2, 3])
    for (i, odd) in odds.enumerated() {
      let previous = (0..<3).map { _ in Memory<UInt8>([1, 1, 1], guardedBy: 99) }
      let masks = (0..<3).map { _ in Memory<UInt8>(masksOf: 3) }
      let group = RankGroup(3)
      let errors = group.run { rank -> SFError? in
        var search = rank == 1 ? odd : fine
        let size = search.sizes[0]
        let cut = [size, 3 - size]
        do throws(SFError) {
          _ = try search.step(
            weights: [numbers.tensors(cut)[0]], gradients: [numbers.tensors(cut)[0]],
            previous: [previous[rank].masks(cut)[0]], masks: [masks[rank].masks(cut)[0]],
            ranks: group.ranks(starts: [3 * rank]))
          return nil
        } catch {
          return error
        }
      }
      let expected: SFError? = i == odds.count - 1 ? nil : .ranksDiffer
      #expect(errors == [expected, expected, expected])
    }
  }

  /// If a sum fails on a rank, the step fails there and changes nothing.
  @Test(arguments: 0..<6)
  func sumsThatFail(after: Int) throws {
    let run = try Run()
    let errors = run.errors(RankGroup(3)) { (search, rank, group) throws(SFError) in
      var left = after
      let inner = group.ranks(starts: run.network.starts(rank))
      let ranks = Ranks(inner.placements, arePieces: false) {
        (numbers: inout [Int64]) throws(SFError) in
        guard left > 0 else { throw .exchangeFailed }
        left -= 1
        numbers = (try inner.sum(numbers.map { Int($0) })).map { Int64($0) }
      }
      let network = run.network
      _ = try search.step(
        weights: network.parts(rank) { network.weights[$0].tensors($1) },
        gradients: network.parts(rank) { network.gradients[1][$0].tensors($1) },
        previous: network.parts(rank) { run.before[$0].masks($1) },
        masks: network.parts(rank) { run.output.masks[$0].masks($1) },
        masked: network.parts(rank) { run.output.masked[$0].mutableTensors($1) }, ranks: ranks)
    }
    // A step has five sums: the agreement, three digits, and the statistics. No ties are removed.
    let expected: SFError? = after < 5 ? .exchangeFailed : nil
    #expect(errors == [expected, expected, expected])
  }

  /// Results that cannot be sums are refused.
  @Test(arguments: [
    [], [0, 0], [Int64](repeating: -1, count: 13), [.max] + [Int64](repeating: 0, count: 12),
  ])
  func resultsThatCannotBeSums(sums: [Int64]) throws {
    let ranks = Ranks([Placement(start: 0)], arePieces: false) {
      (numbers: inout [Int64]) throws(SFError) in numbers = sums
    }
    let weights = Memory<Float>([1, 2])
    let masks = Memory<UInt8>(masksOf: 2)
    var search = try Search(.magnitude, sizes: [2], keep: 1, steps: 1)
    #expect(throws: SFError.exchangeFailed) {
      try search.step(
        weights: weights.tensors([2]), gradients: nil, previous: nil, masks: masks.masks([2]),
        ranks: ranks)
    }
  }

  @Test func startsAreChecked() throws {
    func error(_ starts: [Int]) -> SFError? {
      let placements = starts.map { Placement(start: $0) }
      return failure { try Ranks(placements, arePieces: false) { _ in }.check([2, 0, 3], of: 10) }
    }
    #expect(error([0, 2, 2]) == nil)
    #expect(error([5, 7, 7]) == nil)
    #expect(error([1, 9, 7]) == .badStart(tensor: 2, start: 7))
    #expect(error([-1, 2, 2]) == .badStart(tensor: 0, start: -1))
    #expect(error([0, 1, 2]) == .badStart(tensor: 1, start: 1))
    #expect(error([0, 2, 8]) == .badStart(tensor: 2, start: 8))
    #expect(error([0, 11, 11]) == .badStart(tensor: 1, start: 11))
    #expect(error([.max, .max, .max]) == .badStart(tensor: 0, start: .max))
    #expect(error([0, 2]) == .sizeMismatch(.weights, tensor: nil, got: 2, expected: 3))
  }

  @Test func placementsOfBlocksAreChecked() {
    func end(_ start: Int, _ extents: [Int], _ strides: [Int], _ size: Int) -> Int? {
      Placement(start: start, extents: extents, strides: strides).end(size, of: 100)
    }
    #expect(end(3, [4, 5], [20, 1], 20) == 68)
    #expect(end(0, [100], [1], 100) == 100)
    #expect(end(90, [0, 5], [20, 1], 0) == 90)
    #expect(end(9, [3, 1], [7, 7], 3) == 24)
    #expect(end(3, [4, 5], [20, 1], 21) == nil)
    #expect(end(36, [4, 5], [20, 1], 20) == nil)
    #expect(end(0, [4, 5], [4, 1], 20) == nil)
    #expect(end(0, [4, 5], [-20, 1], 20) == nil)
    #expect(end(0, [-1, 5], [20, 1], -5) == nil)
    #expect(end(0, [.max, .max], [.max, 1], 1) == nil)
    #expect(end(-1, [5], [1], 5) == nil)
    #expect(end(0, [2, 1, 1], [1, .min, 1], 2) == 2)
    #expect(end(0, [2, .min], [1, 1], 0) == nil)
    #expect(end(0, [.max], [1], 5) == nil)
  }

  @Test func oddBlocksAreRefused() {
    let odd = [Int.min, Int.min + 1, -2, -1, 0, 1, 2, Int.max - 1, Int.max]
    for extents in pairs(odd) {
      for strides in pairs(odd) {
        for size in [0, 1, 2, 4] {
          let end = Placement(start: 3, extents: extents, strides: strides).end(size, of: 100)
          let isEmpty = extents.contains(0)
          let isLarge = !isEmpty && extents.contains { $0 > 2 }
          if isLarge || isEmpty != (size == 0) || extents.contains(where: { $0 < 0 }) {
            #expect(end == nil, "\(size) elements in \(extents), \(strides)")
          }
          if let end { #expect((3...10).contains(end), "\(extents), \(strides)") }
        }
      }
    }
    func pairs(_ numbers: [Int]) -> [[Int]] { numbers.flatMap { a in numbers.map { [a, $0] } } }
  }

  @Test func aSharedSearchNeedsTheOthers() throws {
    let weights = Memory<Float>([1, 2])
    let masks = Memory<UInt8>(masksOf: 2)
    var search = try Search(.magnitude, sizes: [2], keep: 1, steps: 1, total: 5)
    #expect(throws: SFError.sizeMismatch(.weights, tensor: nil, got: 2, expected: 5)) {
      try search.step(
        weights: weights.tensors([2]), gradients: nil, previous: nil, masks: masks.masks([2]))
    }
  }
}
