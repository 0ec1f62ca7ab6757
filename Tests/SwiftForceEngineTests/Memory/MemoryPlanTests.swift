// Allocations that are live at the same time do not overlap, and a plan needs no more memory than
// necessary.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct MemoryPlanTests {
  typealias Allocation = MemoryPlan.Allocation

  private func random(_ count: Int, seed: UInt64, times: Int, sizes: Int) -> [Allocation] {
    var generator = Generator(seed: seed)
    func next(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
    return (0..<count).map { _ in
      let first = next(times)
      return Allocation(size: next(sizes), first: first, last: first + next(times - first))
    }
  }

  private func rounded(_ allocation: Allocation) -> Int { (allocation.size + 15) / 16 * 16 }

  /// What the allocations of the busiest time need: no plan can need less.
  private func peakUse(_ allocations: [Allocation]) -> Int {
    let times = 0...(allocations.map(\.last).max() ?? 0)
    return times.map { time in
      allocations.filter { $0.first <= time && time <= $0.last }.map(rounded).reduce(0, +)
    }.max() ?? 0
  }

  private func expectNoOverlap(_ allocations: [Allocation], _ plan: MemoryPlan) {
    #expect(plan.offsets.count == allocations.count)
    for (i, one) in allocations.enumerated() where one.size > 0 {
      #expect(plan.offsets[i] >= 0 && plan.offsets[i].isMultiple(of: 16))
      #expect(plan.offsets[i] + one.size <= plan.count)
      for (j, other) in allocations.enumerated().dropFirst(i + 1) where other.size > 0 {
        let areLiveTogether = max(one.first, other.first) <= min(one.last, other.last)
        let areDisjoint =
          plan.offsets[i] + one.size <= plan.offsets[j]
          || plan.offsets[j] + other.size <= plan.offsets[i]
        #expect(!areLiveTogether || areDisjoint, "\(one) and \(other)")
      }
    }
  }

  @Test(arguments: 1...40 as ClosedRange<UInt64>)
  func liveAllocationsDoNotOverlap(seed: UInt64) {
    let count = Int(seed) * 3
    for (times, sizes) in [(2, 40), (12, 3), (12, 200), (200, 1000)] {
      let allocations = random(count, seed: seed, times: times, sizes: sizes)
      let plan = MemoryPlan(allocations)
      expectNoOverlap(allocations, plan)
      #expect(plan.count <= allocations.map(rounded).reduce(0, +))
      #expect(plan.count >= peakUse(allocations))
    }
  }

  /// Of allocations that are live one after the other, only the largest counts.
  @Test func allocationsThatAreNeverLiveTogetherShareMemory() {
    let allocations = (0..<9).map {
      Allocation(size: 16 * (1 + ($0 * 5) % 9), first: 2 * $0, last: 2 * $0)
    }
    let plan = MemoryPlan(allocations)
    #expect(plan.count == 144)
    #expect(plan.offsets == [Int](repeating: 0, count: 9))
  }

  /// The first and the last time both belong to a lifetime.
  @Test func lifetimesThatShareATimeDoNotShareMemory() {
    let plan = MemoryPlan([
      Allocation(size: 10, first: 0, last: 3), Allocation(size: 10, first: 3, last: 5),
    ])
    #expect(plan.offsets == [0, 16])
    #expect(plan.count == 32)
  }

  /// As in training a chain of layers: allocations are freed in reverse order. No memory is wasted,
  /// whatever the sizes.
  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func chainsNeedTheirPeakUse(seed: UInt64) {
    var generator = Generator(seed: seed)
    let allocations = (0..<20).map { i in
      Allocation(size: Int(generator.next() % 300), first: i, last: 40 - i)
    }
    #expect(MemoryPlan(allocations).count == peakUse(allocations))
  }

  /// Lifetimes within lifetimes, each allocation no larger than the one around it.
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func nestedLifetimesNeedTheirPeakUse(seed: UInt64) {
    var generator = Generator(seed: seed)
    var allocations: [Allocation] = []
    func nest(_ first: Int, _ last: Int, largest: Int) {
      guard first <= last, largest > 0 else { return }
      let size = 1 + Int(generator.next() % UInt64(largest))
      allocations.append(Allocation(size: size, first: first, last: last))
      let middle = first + Int(generator.next() % UInt64(last - first + 1))
      nest(first, middle - 1, largest: size)
      nest(middle + 1, last, largest: size)
    }
    nest(0, 60, largest: 1000)
    #expect(allocations.count > 5)
    let plan = MemoryPlan(allocations)
    expectNoOverlap(allocations, plan)
    #expect(plan.count == peakUse(allocations))
  }

  @Test func emptyPlansAndEmptyAllocationsNeedNoMemory() {
    #expect(MemoryPlan([]).count == 0)
    let plan = MemoryPlan([
      Allocation(size: 0, first: 0, last: 9), Allocation(size: 5, first: 1, last: 2),
    ])
    #expect(plan.offsets == [0, 0])
    #expect(plan.count == 16)
  }
}
