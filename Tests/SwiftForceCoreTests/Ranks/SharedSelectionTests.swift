// Searches over shards, one to seven, against one search over all tensors: the same masks, bit for
// bit, and the same reports; and what happens to all ranks when one of them fails.

import Testing

@testable import SwiftForceCore

/// Tensors of a whole network, and how ranks share them: pieces of each, one for each rank.
private struct Whole {
  var weights: [Stored]
  /// For each step, the gradients of each tensor.
  var gradients: [[Stored]]
  /// For each tensor, elements of the piece of each rank.
  var pieces: [[Int]]
  let ranks: Int

  var sizes: [Int] { pieces.map { $0.reduce(0, +) } }
  var total: Int { sizes.reduce(0, +) }

  /// The pieces of a rank, or (nil) the whole tensors.
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

/// What a search writes: a mask and masked weights of each whole tensor.
private final class Written {
  var masks: [Memory<UInt8>]
  var masked: [Stored]

  init(_ whole: Whole) {
    masks = whole.sizes.map { Memory(masksOf: $0) }
    masked = whole.weights.map { Stored($0.type, bits: $0.bits.map { _ in 0x5A5A }) }
  }

  var isIntact: Bool { masks.allSatisfy(\.isIntact) && masked.allSatisfy(\.isIntact) }
}

extension Whole {
  /// Takes one step of a rank (nil: of the only process) from the masks in `before`.
  func step(
    _ search: inout Search, _ t: Int, rank: Int?, from before: [Memory<UInt8>]?,
    into written: Written, _ group: Group? = nil
  ) throws(SFError) -> Report {
    let others = rank.flatMap { rank in group?.ranks(starts: starts(rank)) }
    let report = try search.step(
      weights: parts(rank) { weights[$0].tensors($1) },
      gradients: search.method.saliency.readsGradients
        ? parts(rank) { gradients[t][$0].tensors($1) } : nil,
      previous: before.map { before in parts(rank) { before[$0].masks($1) } },
      masks: parts(rank) { written.masks[$0].masks($1) },
      masked: parts(rank) { written.masked[$0].mutableTensors($1) }, ranks: others)
    return withExtendedLifetime((self, before, written)) { report }
  }
}

/// A report without what may differ between one process and several.
private func common(_ report: Report) -> Report {
  var copy = report
  copy.readings = 0
  copy.layerKept = []
  return copy
}

/// A network whose tensors have these sizes and types, shared in one of several ways.
private func network(
  _ sizes: [Int], types: [ElementType], ranks: Int, steps: Int, whole: Bool, seed: UInt64,
  values: (Int, Int, ElementType) -> [Double]
) -> Whole {
  var generator = TestGenerator(state: seed)
  let pieces = sizes.enumerated().map { t, size -> [Int] in
    if whole {
      // Each tensor is one rank's; where there are more ranks than tensors, some have nothing.
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
  return Whole(
    weights: stored(0, 0), gradients: (1...steps).map { stored($0, 1) }, pieces: pieces,
    ranks: ranks)
}

/// Takes all steps in one process and in several, and compares after each.
private func check(_ whole: Whole, _ method: Method, keeps: [Int], _ what: Comment) throws {
  let keep = keeps[keeps.count - 1]
  var single = try Search(method, sizes: whole.sizes, keep: keep, keeps: keeps, seed: 5)
  var searches = try (0..<whole.ranks).map { rank in
    try Search(
      method, sizes: whole.pieces.map { $0[rank] }, keep: keep, keeps: keeps, seed: 5,
      total: whole.total)
  }
  let (one, many) = (Written(whole), Written(whole))
  var before: [Memory<UInt8>]?
  for t in keeps.indices {
    let expected = try whole.step(&single, t, rank: nil, from: before, into: one)
    let group = Group(whole.ranks)
    let started = searches
    let outcomes = group.run { rank -> Result<(Search, Report), SFError> in
      var search = started[rank]
      return Result { () throws(SFError) in
        let report = try whole.step(&search, t, rank: rank, from: before, into: many, group)
        return (search, report)
      }
    }
    let taken = try outcomes.map { try $0.get() }
    searches = taken.map(\.0)
    for (_, report) in taken { #expect(common(report) == common(expected), what) }
    for tensor in whole.sizes.indices {
      let kept = taken.reduce(0) { $0 + $1.1.layerKept[tensor] }
      #expect(kept == expected.layerKept[tensor], what)
    }
    #expect(many.masks.map(\.values) == one.masks.map(\.values), what)
    #expect(many.masked.map(\.bits) == one.masked.map(\.bits), what)
    #expect(many.isIntact, what)
    // Two digests of a step, and digits of keys and positions: far below 200 KB.
    #expect(group.lengths.reduce(0, +) * 8 < 150_000, what)
    before = one.masks
    (one.masks, many.masks) = (Written(whole).masks, Written(whole).masks)
  }
}

@Suite struct SharedSelectionTests {
  /// What the other tests of selection use, and zeros alone.
  @Test(arguments: Kind.allCases)
  func everyKindOfData(kind: Kind) throws {
    for (ranks, method) in zip([1, 2, 3, 4, 5, 6, 7], Method.allCases + [.force]) {
      let whole = network(
        [700, 0, 1, 1500, 99], types: [.float32], ranks: ranks, steps: 3, whole: ranks % 2 == 0,
        seed: UInt64(ranks)
      ) { count, step, type in
        // Of few bits, so that sums of products are exact: see Kind.
        step == 0
          ? kind.values(count, for: type)
          : (0..<count).map { [0.5, -1, 2, 0.25, -2][($0 * 7 + step) % 5] }
      }
      let keeps = method.isOneShot ? [400] : [1800, 700, 23]
      try check(whole, method, keeps: keeps, "\(kind) \(method) on \(ranks) ranks")
    }
  }

  /// Where ties are kept is decided by the position among the weights of all ranks.
  @Test(arguments: 1...7)
  func tiesAndZeros(ranks: Int) throws {
    for (values, isWhole) in [([0.0], false), ([1, 1, 1, 0], true), ([0, 0, 2], false)] {
      for method in Method.allCases {
        let whole = network(
          [3000, 2, 2100, 0, 17, 5000], types: [.float32], ranks: ranks, steps: 3,
          whole: isWhole, seed: 9
        ) { count, step, _ in (0..<count).map { values[($0 + step) % values.count] } }
        let keeps = method.isOneShot ? [2222] : [9000, 2500, 1]
        try check(whole, method, keeps: keeps, "\(values) \(method) on \(ranks) ranks")
      }
    }
  }

  /// Scores are binary64 on all ranks where one of them holds binary64.
  @Test(arguments: [2, 3, 5])
  func mixedTypes(ranks: Int) throws {
    for kind in [Kind.random, .fewValues, .halfZeros] {
      for types in [
        [ElementType.float16, .bfloat16, .float32], [.float32, .float32, .float64],
        [.float64, .float16],
      ] {
        for method in [Method.force, .iterativeSnip, .graspIt, .magnitude] {
          let whole = network(
            [600, 513, 1024, 40], types: types, ranks: ranks, steps: 2, whole: ranks == 3, seed: 2
          ) { count, step, type in
            step == 0
              ? kind.values(count, for: type)
              : (0..<count).map { Double(($0 * 11 + step) % 9) - 4 }
          }
          let keeps = method.isOneShot ? [1000] : [1500, 300]
          try check(whole, method, keeps: keeps, "\(kind) \(types) \(method)")
        }
      }
    }
  }

  /// Chunks, threads and a second and third digit of positions.
  @Test(arguments: [Method.force, .iterativeSnip, .random])
  func largeTensors(method: Method) throws {
    for isTied in [false, true] {
      let whole = network(
        [Chunk.largestCount * 2 + 5, 100_000], types: [.float32], ranks: 3, steps: 2,
        whole: false, seed: 4
      ) { count, step, _ in
        isTied
          ? (0..<count).map { $0 % 3 == 0 ? 1 : 0 }
          : shortNumbers(count, seed: UInt64(step)).map { Double($0) }
      }
      let keeps = method.isOneShot ? [50_000] : [200_000, 30_000]
      try check(whole, method, keeps: keeps, "\(method), tied: \(isTied)")
    }
  }

  /// Ranks may be machines of different kinds.
  @Test func levelsAndThreadsOfEachRank() throws {
    let count = 60_000
    let weights = Stored(.float32, Kind.halfZeros.values(count).map { Double($0) })
    let pieces = [20_001, 0, 39_999]
    let masks = Memory<UInt8>(masksOf: count)
    let group = Group(3)
    let reports = group.run { rank in
      Result { () throws(SFError) in
        let scores = try Scores(
          .magnitude, weights: [weights.tensors(pieces)[rank]], gradients: nil, candidates: nil,
          seed: 0)
        return try SharedSelection.select(
          MaskSelection(
            scores: scores, keep: 45_000, masks: [masks.masks(pieces)[rank]], previous: nil,
            applying: nil),
          of: count, ranks: group.ranks(starts: [pieces[..<rank].reduce(0, +)]), digest: 1,
          ownKept: nil, level: CPULevel.available[rank % CPULevel.available.count],
          threads: rank + 1)
      }
    }
    let oracle = Oracle(weights.values.map(\.magnitude), keep: 45_000, sizes: [count])
    #expect(masks.values == oracle.mask)
    for report in reports { #expect(common(try report.get()) == common(oracle.report)) }
  }

  /// Ranks that own no tensor at all.
  @Test func noTensors() throws {
    let weights = Memory<Float>([3, 1, 2])
    let masks = Memory<UInt8>(masksOf: 3)
    let group = Group(2)
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

@Suite struct SharedFailureTests {
  /// Two steps of FORCE on three ranks, of 3, 2 and 4 weights, of which the first was taken.
  private final class Run {
    let whole: Whole
    var searches: [Search]
    let written: Written
    let before: [Memory<UInt8>]

    init() throws {
      whole = network(
        [9], types: [.float32], ranks: 3, steps: 2, whole: false, seed: 1
      ) { count, step, _ in (0..<count).map { Double(($0 * 5 + step) % 9 + 1) } }
      let (whole, written) = (whole, Written(whole))
      var searches = try whole.pieces[0].map {
        try Search(.force, sizes: [$0], keep: 2, keeps: [5, 2], total: 9)
      }
      let group = Group(3)
      let (started, first) = (searches, written)
      searches = try group.run { rank -> Result<Search, SFError> in
        var search = started[rank]
        return Result { () throws(SFError) in
          _ = try whole.step(&search, 0, rank: rank, from: nil, into: first, group)
          return search
        }
      }.map { try $0.get() }
      self.searches = searches
      before = written.masks
      self.written = Written(whole)
      self.written.masked = written.masked
    }

    /// What the ranks throw at the second step, and whether nothing of it is left.
    func errors(
      _ group: Group = Group(3),
      _ step: ((inout Search, Int, Group) throws(SFError) -> Void)? = nil
    ) -> [SFError?] {
      let masked = written.masked.map(\.bits)
      let (started, whole, before, written) = (searches, whole, before, written)
      let errors = group.run { rank -> SFError? in
        var search = started[rank]
        do throws(SFError) {
          if let step {
            try step(&search, rank, group)
          } else {
            _ = try whole.step(&search, 1, rank: rank, from: before, into: written, group)
          }
          return nil
        } catch {
          if search.taken != 1 { Issue.record("a step that failed was taken") }
          return error
        }
      }
      if errors.contains(where: { $0 != nil }) {
        #expect(written.masked.map(\.bits) == masked)
      }
      return errors
    }
  }

  @Test func theStepThatFailsNowhereIsTaken() throws {
    #expect(try Run().errors() == [nil, nil, nil])
  }

  @Test(arguments: 0..<3)
  func aNumberThatIsNotFinite(rank: Int) throws {
    let run = try Run()
    let sizes = run.whole.pieces[0]
    try #require(sizes[rank] > 0)
    let position = sizes[..<rank].reduce(0, +)
    let errors = run.errors(Group(3)) { (search, own, group) throws(SFError) in
      var whole = run.whole
      var gradients = whole.gradients[1][0].values
      gradients[position] = .nan
      whole.gradients[1][0] = Stored(.float32, gradients)
      _ = try whole.step(
        &search, 1, rank: own, from: run.before, into: run.written, group)
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
    let size = run.whole.pieces[0][0]
    let kept = values[..<size].count { $0 == 1 }
    run.before[0].values[0] ^= 1
    let now = kept + (values[0] == 1 ? -1 : 1)
    #expect(
      run.errors() == [.masksChanged(kept: now, expected: kept), .rankFailed, .rankFailed])
    run.before[0].values = values
    #expect(run.errors() == [nil, nil, nil])
  }

  /// Arguments are looked at on each rank before any of them waits.
  @Test func aBadArgument() throws {
    let run = try Run()
    let errors = run.errors(Group(3)) { (search, rank, group) throws(SFError) in
      if rank == 1 {
        _ = try search.step(
          weights: [], gradients: [], previous: nil, masks: [], ranks: group.ranks(starts: [3]))
      } else {
        _ = try run.whole.step(
          &search, 1, rank: rank, from: run.before, into: run.written, group)
      }
    }
    #expect(errors[0] == .rankFailed && errors[2] == .rankFailed)
    #expect(errors[1] == .sizeMismatch(.weights, tensor: nil, got: 0, expected: 1))
    #expect(run.errors() == [nil, nil, nil])
  }

  @Test func aRankThatGivesUp() throws {
    let run = try Run()
    let errors = run.errors(Group(3)) { (search, rank, group) throws(SFError) in
      if rank == 2 {
        group.ranks(starts: []).giveUp()
        throw .missingGradients
      }
      _ = try run.whole.step(&search, 1, rank: rank, from: run.before, into: run.written, group)
    }
    #expect(errors == [.rankFailed, .rankFailed, .missingGradients])
    #expect(run.errors() == [nil, nil, nil])
  }

  /// Another schedule, step, method or seed, and weights that nobody holds.
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
      let group = Group(3)
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

  /// A step fails alone where the sums do; nothing is left of it.
  @Test(arguments: 0..<6)
  func sumsThatFail(after: Int) throws {
    let run = try Run()
    let errors = run.errors(Group(3)) { (search, rank, group) throws(SFError) in
      var left = after
      let inner = group.ranks(starts: run.whole.starts(rank))
      let ranks = Ranks(starts: inner.starts) { (numbers: inout [Int64]) throws(SFError) in
        guard left > 0 else { throw .exchangeFailed }
        left -= 1
        numbers = (try inner.sum(numbers.map { Int($0) })).map { Int64($0) }
      }
      let whole = run.whole
      _ = try search.step(
        weights: whole.parts(rank) { whole.weights[$0].tensors($1) },
        gradients: whole.parts(rank) { whole.gradients[1][$0].tensors($1) },
        previous: whole.parts(rank) { run.before[$0].masks($1) },
        masks: whole.parts(rank) { run.written.masks[$0].masks($1) },
        masked: whole.parts(rank) { run.written.masked[$0].mutableTensors($1) }, ranks: ranks)
    }
    // The first sum, three digits, and the figures; there are no ties to place.
    let expected: SFError? = after < 5 ? .exchangeFailed : nil
    #expect(errors == [expected, expected, expected])
  }

  /// Sums that cannot be sums are refused, not believed.
  @Test(arguments: [[], [0, 0], [Int64](repeating: -1, count: 7), [.max, 0, 0, 0, 0, 0, 0]])
  func sumsThatAreNone(sums: [Int64]) throws {
    let ranks = Ranks(starts: [0]) { (numbers: inout [Int64]) throws(SFError) in numbers = sums }
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
      failure { try Ranks(starts: starts) { _ in }.check([2, 0, 3], of: 10) }
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
