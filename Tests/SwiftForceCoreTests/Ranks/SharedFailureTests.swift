// Steps that fail on one rank or on all: what every rank throws, and that nothing was changed.

import Testing

@testable import SwiftForceCore

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
        group.ranks(starts: []).reportFailure()
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
