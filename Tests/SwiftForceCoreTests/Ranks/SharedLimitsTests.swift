// Floors, caps, numbers per tensor and costs on several ranks, against one search over all tensors.

import Testing

@testable import SwiftForceCore

@Suite struct SharedLimitsTests {
  private static let sizes = [600, 0, 240, 1500, 96]

  /// - Parameter range: how many different values there are; few make ties.
  private static func network(
    ranks: Int, whole: Bool, range: Int, types: [ElementType] = [.float32], steps: Int = 3,
    sizes: [Int] = SharedLimitsTests.sizes
  ) -> ShardedNetwork {
    shardedNetwork(
      sizes, types: types, ranks: ranks, steps: steps, whole: whole, seed: UInt64(ranks)
    ) { count, step, _ in
      shortNumbers(count, seed: UInt64(step) + 1).map { (Double($0) * 8).rounded() }.map {
        $0.truncatingRemainder(dividingBy: Double(range)) / 4
      }
    }
  }

  private static func bounds(_ edit: (Int, inout Bounds) -> Void) -> [Bounds] {
    sizes.indices.map { tensor in
      var bounds = Bounds()
      edit(tensor, &bounds)
      return bounds
    }
  }

  @Test(arguments: [(2, 3), (3, 40), (5, 1000)], Rule.allCases)
  func numbersOfEachTensor(given: (ranks: Int, range: Int), rule: Rule) throws {
    for whole in [false, true] {
      let network = Self.network(ranks: given.ranks, whole: whole, range: given.range)
      let counts = [30, 0, 240, 0, 50]
      for final in [counts, [0, 0, 0, 0, 1], counts.map { $0 / 2 }] {
        let sum = final.reduce(0, +)
        try checkShared(
          network, .force, keeps: [1800, max(700, sum), sum], limits: Limits(counts: final),
          rule: rule, "\(final) \(whole) \(rule)")
      }
    }
  }

  @Test(arguments: [(2, 3), (3, 40), (4, 1000)], Rule.allCases)
  func floorsAndCapsOfTensors(given: (ranks: Int, range: Int), rule: Rule) throws {
    let bounds = Self.bounds { tensor, bounds in
      bounds.least = [40, 0, 20, 0, 90][tensor]
      bounds.most = [.max, 5, 20, 300, .max][tensor]
    }
    let network = Self.network(
      ranks: given.ranks, whole: false, range: given.range, types: [.float32, .bfloat16])
    for saliency in [Saliency.connectionSensitivity, .given] {
      try checkShared(
        network, .force, keeps: [900, 400, 160], limits: Limits(bounds: bounds), saliency: saliency,
        rule: rule, "\(saliency) \(rule)")
    }
    // Floors and caps alone decide.
    try checkShared(
      network, .force, keeps: [1011, 500, 150], limits: Limits(bounds: bounds), rule: rule, "alone")
  }

  /// Bounds of parts of tensors, each on one rank; with numbers of each tensor, too.
  @Test(arguments: [(2, 3), (3, 40), (6, 1000)], Rule.allCases)
  func boundsOfUnits(given: (ranks: Int, range: Int), rule: Rule) throws {
    let bounds = Self.bounds { tensor, bounds in
      switch tensor {
      case 0: (bounds.outputs, bounds.inner, bounds.leastPerOutput, bounds.least) = (6, 5, 3, 30)
      case 2: (bounds.outputs, bounds.inner, bounds.group, bounds.mostPerGroup) = (4, 60, 4, 2)
      case 3: (bounds.outputs, bounds.inner, bounds.mostPerOutput) = (10, 150, 20)
      default: break
      }
    }
    let network = Self.network(
      ranks: given.ranks, whole: true, range: given.range, types: [.float32, .float64])
    for counts in [nil, [40, 0, 60, 20, 10]] {
      try checkShared(
        network, .force, keeps: [400, 200, 130], limits: Limits(bounds: bounds, counts: counts),
        rule: rule, "\(counts ?? []) \(rule)")
    }
  }

  /// More tensors than one sum has histograms, on ranks that may have none.
  @Test(arguments: [false, true])
  func manyTensors(whole: Bool) throws {
    let sizes = (0..<150).map { 5 + $0 % 9 }
    let network = Self.network(ranks: 4, whole: whole, range: 7, steps: 2, sizes: sizes)
    let final = sizes.map { $0 / 4 }
    let sum = final.reduce(0, +)
    try checkShared(
      network, .iterativeSnip, keeps: [3 * sum, sum], limits: Limits(counts: final), "\(whole)")
  }

  /// Several chunks and threads, and later digits of positions.
  @Test func largeTensors() throws {
    let network = Self.network(
      ranks: 3, whole: false, range: 4, types: [.float32, .float16], steps: 2,
      sizes: [200_000, 30_000, 70_000])
    let bounds = [2000, 29_000, 0].map { least in
      var bounds = Bounds()
      bounds.least = least
      return bounds
    }
    try checkShared(
      network, .force, keeps: [100_000, 40_000], limits: Limits(bounds: bounds), "floors")
    try checkShared(
      network, .force, keeps: [100_000, 40_000], limits: Limits(counts: [10_000, 0, 30_000]),
      "numbers")
    try checkShared(
      network, .force, keeps: [400_000, 90_000], limits: Limits(costs: [1, 7, 3]), "costs")
  }

  @Test(arguments: [(2, 3), (3, 40), (5, 1000)], Rule.allCases)
  func costs(given: (ranks: Int, range: Int), rule: Rule) throws {
    for whole in [false, true] {
      let network = Self.network(
        ranks: given.ranks, whole: whole, range: given.range, types: [.float32, .float64])
      for budgets in [[9000, 2500, 401], [11_652, 11_652, 9]] {
        try checkShared(
          network, .force, keeps: budgets, limits: Limits(costs: [3, 1, 9, 5, 2]), rule: rule,
          "\(budgets) \(whole) \(rule)")
      }
    }
  }

  /// Each rank lists its own tensors alone.
  @Test func tensorsOfOneRankAlone() throws {
    let sizes = [50, 30, 0, 80]
    let weights = shortNumbers(160, seed: 3)
    let limits = Limits(counts: [10, 0, 0, 15])
    let one = SearchRun(
      try Search(.magnitude, sizes: sizes, keep: 25, steps: 1, limits: limits), weights: weights)
    try one.step(gradients: nil)
    let (whole, masks) = (Memory<Float>(weights), Memory<UInt8>(masksOf: 160))
    let (tensors, parts) = (whole.tensors(sizes), masks.masks(sizes))
    let group = RankGroup(3)
    let kept = group.run { rank in
      Result { () throws(SFError) -> [Int] in
        let range = [0..<1, 1..<4, 4..<4][rank]
        var own = limits
        own.wholes = Wholes(sizes: sizes, first: range.lowerBound)
        var search = try Search(
          .magnitude, sizes: Array(sizes[range]), keep: 25, steps: 1, total: 160, limits: own)
        return try search.step(
          weights: Array(tensors[range]), gradients: nil, previous: nil, masks: Array(parts[range]),
          ranks: group.ranks(starts: Array([0, 50, 80, 80][range]))
        ).layerKept
      }
    }
    #expect(masks.values == one.masks.values)
    #expect(try kept.map { try $0.get() } == [[10], [0, 0, 15], []])
  }

  // MARK: What cannot be done

  private static func search(
    _ sizes: [Int], total: Int, _ limits: Limits
  ) throws(SFError) -> Search {
    try Search(.magnitude, sizes: sizes, keep: 10, steps: 1, total: total, limits: limits)
  }

  @Test func boundsOfUnitsThatLieOnSeveralRanks() {
    var bounds = Bounds()
    (bounds.outputs, bounds.inner, bounds.leastPerOutput) = (10, 6, 1)
    let limits = Limits(bounds: [Bounds(), bounds], wholes: Wholes(sizes: [40, 60], first: 0))
    #expect {
      try Self.search([40, 30], total: 100, limits)
    } throws: { error in
      guard case .badBounds(tensor: 1, let reason) = error as? SFError else { return false }
      return reason.contains("30 of 60 weights")
    }
    #expect(throws: Never.self) { try Self.search([10, 60], total: 100, limits) }
    #expect(throws: Never.self) { try Self.search([30, 0], total: 100, limits) }
  }

  @Test func wholesThatDoNotFit() {
    let counts = [4, 6]
    func refuse(_ sizes: [Int], _ wholes: Wholes?, total: Int? = 100) -> SFError? {
      do throws(SFError) {
        _ = try Search(
          .magnitude, sizes: sizes, keep: 10, steps: 1, total: total,
          limits: Limits(counts: counts, wholes: wholes))
        return nil
      } catch {
        return error
      }
    }
    #expect(refuse([40, 60], Wholes(sizes: [40, 60], first: 0)) == nil)
    #expect(refuse([60], Wholes(sizes: [40, 60], first: 1)) == nil)
    #expect(refuse([40, 60], nil) != nil)
    #expect(refuse([40, 60], Wholes(sizes: [40, 60], first: 0), total: nil) != nil)
    #expect(refuse([40, 60], Wholes(sizes: [40, 61], first: 0)) != nil)
    #expect(refuse([40, 60], Wholes(sizes: [60, 40], first: 0)) != nil)
    #expect(refuse([60], Wholes(sizes: [40, 60], first: 2)) != nil)
    #expect(refuse([60], Wholes(sizes: [40, 60], first: -1)) != nil)
    #expect(refuse([60], Wholes(sizes: [40, 60], first: .max)) != nil)
    #expect(throws: SFError.self) {
      let limits = Limits(wholes: Wholes(sizes: [40, 60], first: .max))
      _ = try Self.search([60], total: 100, limits)
    }
  }

  /// The step cannot be taken, or a weight is not a number: all ranks throw.
  @Test func failuresInAStep() throws {
    let sizes = [20, 20]
    for isNaN in [false, true] {
      let group = RankGroup(2)
      let (weights, masks) = (
        Memory<Float>((0..<40).map { $0 == 33 && isNaN ? .nan : 1 }), Memory<UInt8>(masksOf: 40)
      )
      let previous = Memory<UInt8>(
        (0..<40).map { $0 < 18 || $0 > 37 ? 1 : 0 }, guardedBy: 99)
      let errors = group.run { rank -> SFError? in
        do throws(SFError) {
          var bounds = Bounds()
          bounds.least = isNaN ? 1 : 5
          var search = try Search(
            .iterativeSnip, sizes: [20], keep: 10, keeps: [20, 10], total: 40, taken: 1,
            limits: Limits(
              bounds: [Bounds(), bounds], wholes: Wholes(sizes: sizes, first: rank)))
          _ = try search.step(
            weights: [weights.tensors(sizes)[rank]], gradients: [weights.tensors(sizes)[rank]],
            previous: [previous.masks(sizes)[rank]], masks: [masks.masks(sizes)[rank]],
            ranks: group.ranks(starts: [20 * rank]))
          return nil
        } catch {
          return error
        }
      }
      if isNaN {
        #expect(errors[0] == .rankFailed)
        guard case .nonFinite(let found)? = errors[1] else {
          Issue.record("\(String(describing: errors[1]))")
          continue
        }
        #expect(found.tensor == 0 && found.firstIndex == 13)
      } else {
        let reason = "at least 5 of 20 weights must be kept, and 2 may be"
        #expect(
          errors == [
            .badBounds(tensor: nil, reason: reason), .badBounds(tensor: 0, reason: reason),
          ])
      }
    }
  }

  /// Ranks whose limits differ are at no step of the same search; and neither are two ranks that both
  /// say that they hold the first tensor.
  @Test(arguments: [([[1, 1], [2, 0]], [0, 1]), ([[1, 1], [1, 1]], [0, 0])])
  func ranksThatDiffer(counts: [[Int]], first: [Int]) {
    let (weights, masks) = (Memory<Float>([1, 2, 3, 4]), Memory<UInt8>(masksOf: 4))
    let group = RankGroup(2)
    let errors = group.run { rank -> SFError? in
      do throws(SFError) {
        let wholes = Wholes(sizes: [2, 2], first: first[rank])
        var search = try Search(
          .magnitude, sizes: [2], keep: 2, steps: 1, total: 4,
          limits: Limits(counts: counts[rank], wholes: wholes))
        _ = try search.step(
          weights: [weights.tensors([2, 2])[rank]], gradients: nil, previous: nil,
          masks: [masks.masks([2, 2])[rank]], ranks: group.ranks(starts: [2 * rank]))
        return nil
      } catch {
        return error
      }
    }
    #expect(errors == [.ranksDiffer, .ranksDiffer])
  }

  /// Numbers that ranks compute themselves, from logarithms.
  @Test(arguments: [[3, 4], [3, 5]])
  func numbersThatRanksCompare(others: [Int]) {
    let group = RankGroup(3)
    let errors = group.run { rank -> SFError? in
      do throws(SFError) {
        try group.ranks(starts: []).checkEqual(rank == 1 ? others : [3, 4])
        return nil
      } catch {
        return error
      }
    }
    #expect(errors == [SFError?](repeating: others == [3, 4] ? nil : .ranksDiffer, count: 3))
  }
}
