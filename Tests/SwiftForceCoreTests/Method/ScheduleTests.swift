// How many weights are kept after each step: exact values, what holds for every schedule, and the
// check of lists that the caller made.

import SwiftForceCore
import Testing

@Suite struct ScheduleTests {
  @Test(arguments: [
    (Schedule.exponential, 10_000, 100, 4, [3162, 1000, 316, 100]),
    (.exponential, 64, 1, 6, [32, 16, 8, 4, 2, 1]),
    (.exponential, 1_000_000, 10_000, 2, [100_000, 10_000]),
    (.linear, 100, 20, 4, [80, 60, 40, 20]),
    // 7.5 and 2.5: ties to even.
    (.linear, 10, 0 + 5, 2, [8, 5]),
    (.linear, 4, 1, 2, [2, 1]),
    (.cubic, 1001, 1, 4, [423, 126, 17, 1]),
    (.cubic, 65, 1, 2, [9, 1]),
    (.cosine, 101, 1, 2, [51, 1]),
    (.cosine, 1001, 1, 3, [751, 251, 1]),
  ])
  func exactValues(schedule: Schedule, n: Int, keep: Int, steps: Int, expected: [Int]) throws {
    #expect(try schedule.keeps(of: n, keep: keep, steps: steps) == expected)
  }

  static let sizes = [
    1, 2, 3, 5, 10, 99, 100, 1000, 65_537, 25_000_000, 1 << 40, (1 << 53) + 1, 1 << 62,
  ]

  /// The numbers never grow, stay between `keep` and n, and end at exactly `keep`, also with more
  /// steps than weights to remove, with nothing to remove, and above 2^53.
  @Test(arguments: Schedule.allCases)
  func neverGrowsAndEndsAtKeep(schedule: Schedule) throws {
    for n in Self.sizes {
      for keep in Set([1, 2, n / 100, n / 2, n - 1, n]) where keep >= 1 && keep <= n {
        for steps in [1, 2, 3, 7, 60, 1000] {
          let keeps = try schedule.keeps(of: n, keep: keep, steps: steps)
          #expect(keeps.count == steps)
          #expect(keeps.last == keep)
          #expect(keeps[0] <= n)
          #expect(zip(keeps, keeps.dropFirst()).allSatisfy { $0 >= $1 }, "\(n) \(keep) \(steps)")
          #expect(throws: Never.self) { try Schedule.check(keeps, of: n, keep: keep) }
        }
      }
    }
  }

  /// With enough weights, every step removes some.
  @Test(arguments: Schedule.allCases)
  func everyStepRemoves(schedule: Schedule) throws {
    let keeps = try schedule.keeps(of: 1_000_000, keep: 10_000, steps: 20)
    #expect(zip(keeps, keeps.dropFirst()).allSatisfy { $0 > $1 })
    #expect(keeps[0] < 1_000_000)
  }

  @Test(arguments: Schedule.allCases)
  func oneStepGoesAllTheWay(schedule: Schedule) throws {
    #expect(try schedule.keeps(of: 1000, keep: 7, steps: 1) == [7])
  }

  /// Exponential removes the same share of the survivors at each step.
  @Test func exponentialRemovesAConstantShare() throws {
    let keeps = try Schedule.exponential.keeps(of: 1 << 40, keep: 1 << 20, steps: 20)
    #expect(keeps == (1...20).map { 1 << (40 - $0) })
  }

  @Test(arguments: Schedule.allCases)
  func argumentsOutOfRangeAreRefused(schedule: Schedule) {
    for keep in [0, -1, 11, .min, .max] {
      #expect(throws: SFError.badKeep(keep: keep, of: 10)) {
        try schedule.keeps(of: 10, keep: keep, steps: 3)
      }
    }
    for count in [0, -1, .min, (1 << 62) + 1] {
      #expect(throws: SFError.badCount(count)) {
        try schedule.keeps(of: count, keep: 1, steps: 3)
      }
    }
    for steps in [0, -1, .min] {
      #expect(throws: SFError.badSteps(steps, oneShot: false)) {
        try schedule.keeps(of: 10, keep: 1, steps: steps)
      }
    }
  }
}

@Suite struct ScheduleCheckTests {
  @Test(arguments: [[10, 5, 5, 3], [3], [3, 3, 3], [10, 10, 3], [4, 3]])
  func aGoodListPasses(keeps: [Int]) {
    #expect(throws: Never.self) { try Schedule.check(keeps, of: 10, keep: 3) }
  }

  @Test(arguments: [
    // Starts above n.
    ([11, 3], 1, 11, 10),
    // Grows.
    ([5, 6, 3], 2, 6, 5),
    // Falls below the last number on the way.
    ([5, 2, 3], 2, 2, 5),
    // Ends above, ends below.
    ([5, 4], 2, 4, 5), ([5, 2], 2, 2, 5), ([4], 1, 4, 10),
    ([0], 1, 0, 10), ([-1, 3], 1, -1, 10), ([.min], 1, .min, 10), ([.max], 1, .max, 10),
  ])
  func theFirstStepAtFaultIsNamed(keeps: [Int], step: Int, keep: Int, previous: Int) {
    #expect(throws: SFError.badSchedule(step: step, keep: keep, previous: previous)) {
      try Schedule.check(keeps, of: 10, keep: 3)
    }
  }

  @Test func otherArgumentsAreChecked() {
    #expect(throws: SFError.badSteps(0, oneShot: false)) {
      try Schedule.check([], of: 10, keep: 3)
    }
    #expect(throws: SFError.badKeep(keep: 0, of: 10)) {
      try Schedule.check([0], of: 10, keep: 0)
    }
    #expect(throws: SFError.badKeep(keep: 11, of: 10)) {
      try Schedule.check([11], of: 10, keep: 11)
    }
    #expect(throws: SFError.badCount(0)) { try Schedule.check([1], of: 0, keep: 1) }
  }
}
