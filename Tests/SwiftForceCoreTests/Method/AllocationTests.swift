// Allocations: numbers in proportion to shares within bounds, and numbers along a schedule.

import Testing

@testable import SwiftForceCore

/// The shapes of some networks.
private let networks: [[[Int]]] = [
  [[1]], [[300, 784], [100, 300], [10, 100]],
  [[16, 3, 3, 3], [16, 16, 3, 3], [32, 16, 3, 3], [32, 32, 3, 3], [10, 32]],
  [[2, 2], [1, 1000], [50, 50], [1]], [[7, 7], [7, 7], [7, 7]],
]

private func sizes(_ shapes: [[Int]]) -> [Int] { shapes.map { $0.reduce(1, *) } }
private func ends(_ shapes: [[Int]]) -> [Int] { shapes.map { $0.reduce(0, +) } }

/// The numbers by the definition of Evci et al.: the density of a layer is a factor times the sum of
/// its axes over their product; layers whose density would exceed 1 are dense, and the factor is
/// such that the others have the rest.
private func erk(_ shapes: [[Int]], keep: Int) -> [Double] {
  var dense: Set<Int> = []
  while true {
    let others = shapes.indices.filter { !dense.contains($0) }
    let rest = keep - dense.reduce(0) { $0 + sizes(shapes)[$1] }
    let factor = Double(rest) / Double(others.reduce(0) { $0 + ends(shapes)[$1] })
    let full = others.filter { factor * Double(ends(shapes)[$0]) > Double(sizes(shapes)[$0]) }
    if full.isEmpty {
      return shapes.indices.map {
        dense.contains($0) ? Double(sizes(shapes)[$0]) : factor * Double(ends(shapes)[$0])
      }
    }
    dense.formUnion(full)
  }
}

@Suite struct AllocationTests {
  @Test func globalHasNoNumbers() throws {
    #expect(try Allocation.global.counts(of: [3], ends: [3], keep: 2) == nil)
  }

  @Test(arguments: networks)
  func numbersAreTheirDefinition(shapes: [[Int]]) throws {
    let (sizes, ends) = (sizes(shapes), ends(shapes))
    let total = sizes.reduce(0, +)
    for keep in Set([1, 2, total / 100, total / 10, total / 3, total - 1, total]).filter({
      (1...total).contains($0)
    }) {
      let uniform = try #require(try Allocation.uniform.counts(of: sizes, ends: ends, keep: keep))
      let found = try #require(try Allocation.erk.counts(of: sizes, ends: ends, keep: keep))
      #expect(uniform.reduce(0, +) == keep)
      #expect(found.reduce(0, +) == keep)
      // Each is rounded, and the sum is exact.
      let slack = Double(shapes.count)
      for (tensor, exact) in erk(shapes, keep: keep).enumerated() {
        #expect(abs(Double(found[tensor]) - exact) <= slack, "\(shapes) keep \(keep)")
        #expect((0...sizes[tensor]).contains(found[tensor]))
        let share = Double(keep) * Double(sizes[tensor]) / Double(total)
        #expect(abs(Double(uniform[tensor]) - share) <= slack, "\(shapes) keep \(keep)")
      }
    }
  }

  @Test(arguments: [Allocation.uniform, .erk])
  func numbersNeverFallWithALargerSum(allocation: Allocation) throws {
    let shapes = [[4, 9], [1, 1], [30, 2, 2], [0], [5, 5], [11]]
    let (sizes, ends) = (sizes(shapes), ends(shapes))
    for ranges in [nil, [3...30, 0...1, 0...50, 0...0, 7...7, 0...11]] as [[ClosedRange<Int>]?] {
      let least = ranges?.reduce(0) { $0 + $1.lowerBound } ?? 1
      let most = ranges?.reduce(0) { $0 + $1.upperBound } ?? sizes.reduce(0, +)
      var before = sizes.map { _ in 0 }
      for keep in least...most {
        let now = try #require(
          try allocation.counts(of: sizes, ends: ends, keep: keep, within: ranges))
        #expect(now.reduce(0, +) == keep)
        #expect(zip(before, now).allSatisfy { $0 <= $1 }, "\(before) \(now)")
        #expect(zip(now, ranges ?? sizes.map { 0...$0 }).allSatisfy { $1.contains($0) })
        before = now
      }
      #expect(before == ranges?.map(\.upperBound) ?? sizes)
    }
  }

  @Test func hugeTensors() throws {
    let sizes = [1 << 61, 1 << 60, 1]
    let found = try #require(
      try Allocation.erk.counts(of: sizes, ends: [1 << 40, 3, 1], keep: 1 << 59))
    #expect(found.reduce(0, +) == 1 << 59)
    #expect(zip(found, sizes).allSatisfy { $0 >= 0 && $0 <= $1 })
  }

  @Test func refused() {
    func error(
      _ sizes: [Int], _ ends: [Int], _ keep: Int, _ ranges: [ClosedRange<Int>]? = nil
    ) -> SFError? {
      failure { _ = try Allocation.erk.counts(of: sizes, ends: ends, keep: keep, within: ranges) }
    }
    #expect(error([4, 4], [4, 4], 0) == .badKeep(keep: 0, of: 8))
    #expect(error([4, 4], [4, 4], 9) == .badKeep(keep: 9, of: 8))
    #expect(error([], [], 1) == .badCount(0))
    #expect(error([4, -1], [4, 4], 1) == .badCount(-1))
    #expect(error([4, 4], [4, -3], 1) == .badCount(-3))
    #expect(error([4, 4], [.min, 1], 1) == .badCount(.min))
    #expect(error([4, 4], [4], 1) == .sizeMismatch(.weights, tensor: nil, got: 1, expected: 2))
    #expect(
      error([4, 4], [4, 4], 1, [1...4, 1...4])
        == .badBounds(tensor: nil, reason: "1 weights are to be kept, and the floors demand 2"))
    #expect(
      error([4, 4], [4, 4], 8, [1...4, 1...2])
        == .badBounds(tensor: nil, reason: "8 weights are to be kept, and the caps allow 6"))
  }

  /// Tensors that end at all, at some, at one and at none of their weights.
  @Test(arguments: [
    [100, 2000, 1, 0], [1000, 20, 5, 3], [0, 0, 0, 1], [7, 0, 50, 0], [1000, 2000, 50, 10],
  ])
  func alongASchedule(final: [Int]) {
    let sizes = [1000, 2000, 50, 10]
    let ranges = sizes.map { 0...$0 }
    let (least, total) = (final.reduce(0, +), sizes.reduce(0, +))
    var before = sizes
    for sum in stride(from: total, through: least, by: -1) {
      let now = Allocation.counts(sum, towards: final, of: sizes, within: ranges)
      #expect(now.reduce(0, +) == sum)
      #expect(zip(before, now).allSatisfy { $0 >= $1 }, "\(before) \(now)")
      #expect(zip(final, now).allSatisfy { $0 <= $1 })
      before = now
    }
    #expect(before == final)
    #expect(Allocation.counts(total, towards: final, of: sizes, within: ranges) == sizes)
  }

  @Test func capsHoldAlongASchedule() {
    let ranges = [0...500, 0...2000, 4...5]
    for sum in 100...2505 {
      let now = Allocation.counts(
        sum, towards: [10, 86, 4], of: [1000, 2000, 50], within: ranges)
      #expect(now.reduce(0, +) == sum)
      #expect(zip(now, ranges).allSatisfy { $1.contains($0) })
    }
  }
}
