// That tenants of a memory who meet do not overlap, and that no more memory is planned than they
// need.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct MemoryPlanTests {
  typealias Tenant = MemoryPlan.Tenant

  private func random(_ count: Int, seed: UInt64, moments: Int, sizes: Int) -> [Tenant] {
    var generator = Generator(seed: seed)
    func next(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
    return (0..<count).map { _ in
      let first = next(moments)
      return Tenant(size: next(sizes), first: first, last: first + next(moments - first))
    }
  }

  private func rounded(_ tenant: Tenant) -> Int { (tenant.size + 15) / 16 * 16 }

  /// What the busiest moment needs: no plan needs less.
  private func largestMoment(_ tenants: [Tenant]) -> Int {
    let moments = 0...(tenants.map(\.last).max() ?? 0)
    return moments.map { moment in
      tenants.filter { $0.first <= moment && moment <= $0.last }.map(rounded).reduce(0, +)
    }.max() ?? 0
  }

  private func expectApart(_ tenants: [Tenant], _ plan: MemoryPlan) {
    #expect(plan.offsets.count == tenants.count)
    for (i, one) in tenants.enumerated() where one.size > 0 {
      #expect(plan.offsets[i] >= 0 && plan.offsets[i].isMultiple(of: 16))
      #expect(plan.offsets[i] + one.size <= plan.count)
      for (j, other) in tenants.enumerated().dropFirst(i + 1) where other.size > 0 {
        let meet = max(one.first, other.first) <= min(one.last, other.last)
        let apart =
          plan.offsets[i] + one.size <= plan.offsets[j]
          || plan.offsets[j] + other.size <= plan.offsets[i]
        #expect(!meet || apart, "\(one) and \(other)")
      }
    }
  }

  @Test(arguments: 1...40 as ClosedRange<UInt64>)
  func tenantsThatMeetAreApart(seed: UInt64) {
    let count = Int(seed) * 3
    for (moments, sizes) in [(2, 40), (12, 3), (12, 200), (200, 1000)] {
      let tenants = random(count, seed: seed, moments: moments, sizes: sizes)
      let plan = MemoryPlan(tenants)
      expectApart(tenants, plan)
      #expect(plan.count <= tenants.map(rounded).reduce(0, +))
      #expect(plan.count >= largestMoment(tenants))
    }
  }

  /// Of tenants that are there one after the other only the largest counts.
  @Test func thoseWhoNeverMeetShare() {
    let tenants = (0..<9).map { Tenant(size: 16 * (1 + ($0 * 5) % 9), first: 2 * $0, last: 2 * $0) }
    let plan = MemoryPlan(tenants)
    #expect(plan.count == 144)
    #expect(plan.offsets == [Int](repeating: 0, count: 9))
  }

  /// Both moments of a stay belong to it.
  @Test func aMomentInCommonIsAMeeting() {
    let plan = MemoryPlan([
      Tenant(size: 10, first: 0, last: 3), Tenant(size: 10, first: 3, last: 5),
    ])
    #expect(plan.offsets == [0, 16])
    #expect(plan.count == 32)
  }

  /// As in training a chain: who comes later leaves earlier. Nothing is lost, whatever the sizes.
  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func chainsNeedTheirLargestMoment(seed: UInt64) {
    var generator = Generator(seed: seed)
    let tenants = (0..<20).map { i in
      Tenant(size: Int(generator.next() % 300), first: i, last: 40 - i)
    }
    #expect(MemoryPlan(tenants).count == largestMoment(tenants))
  }

  /// Stays within stays, each not larger than the one around it.
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func nestsNeedTheirLargestMoment(seed: UInt64) {
    var generator = Generator(seed: seed)
    var tenants: [Tenant] = []
    func nest(_ first: Int, _ last: Int, largest: Int) {
      guard first <= last, largest > 0 else { return }
      let size = 1 + Int(generator.next() % UInt64(largest))
      tenants.append(Tenant(size: size, first: first, last: last))
      let middle = first + Int(generator.next() % UInt64(last - first + 1))
      nest(first, middle - 1, largest: size)
      nest(middle + 1, last, largest: size)
    }
    nest(0, 60, largest: 1000)
    #expect(tenants.count > 5)
    let plan = MemoryPlan(tenants)
    expectApart(tenants, plan)
    #expect(plan.count == largestMoment(tenants))
  }

  @Test func nobodyNeedsNothing() {
    #expect(MemoryPlan([]).count == 0)
    let plan = MemoryPlan([Tenant(size: 0, first: 0, last: 9), Tenant(size: 5, first: 1, last: 2)])
    #expect(plan.offsets == [0, 0])
    #expect(plan.count == 16)
  }
}
