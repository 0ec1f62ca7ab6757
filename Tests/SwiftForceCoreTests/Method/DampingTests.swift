// Damping: which settings a method takes, and which weights compete in which step.

import Testing

@testable import SwiftForceCore

@Suite struct DampingTests {
  @Test func theDefaultIsThePaper() {
    for method in Method.allCases {
      #expect(throws: Never.self) { _ = try Damping().checked(method, steps: 1) }
    }
    #expect(Damping().competition(.force, step: 7) == .all)
    #expect(Damping().competition(.iterativeSnip, step: 1) == .survivors)
    #expect(!Damping().accumulates)
  }

  @Test func theRuleSaysFromWhichStep() throws {
    let steps = [1, 2, 3, 5, 6, 7, 60]
    let found = try steps.map { try Damping().checked(.forceNested, steps: $0).nestedFrom }
    #expect(found == [1, 2, 3, 3, 4, 5, 31])
    #expect(try Damping(nestedFrom: 2).checked(.forceNested, steps: 60).nestedFrom == 2)
    #expect(try Damping().checked(.force, steps: 60) == Damping())
  }

  @Test func competitionByStep() {
    let late = Damping(removedFactor: 0.5, nestedFrom: 3)
    #expect(late.competition(.force, step: 2) == .discounted(0.5))
    #expect(late.competition(.force, step: 3) == .survivors)
    #expect(late.competition(.force, step: 4) == .survivors)
    #expect(Damping(removedFactor: 0).competition(.force, step: 1) == .survivors)
    #expect(Damping(momentum: 0.5).competition(.graspIt, step: 1) == .survivors)
  }

  @Test(arguments: [-0.1, 1, .nan, .infinity])
  func momentumOutOfRange(value: Double) {
    #expect(throws: SFError.self) { _ = try Damping(momentum: value).checked(.force, steps: 2) }
  }

  @Test(arguments: [-0.1, 1.1, .nan, .infinity])
  func factorOutOfRange(value: Double) {
    #expect(throws: SFError.self) {
      _ = try Damping(removedFactor: value).checked(.force, steps: 2)
    }
  }

  /// Scores are mostly binary32, in which these are 0 or 1.
  @Test(arguments: [1 - 1e-9, 1e-46, 1 - 0x1p-26])
  func factorsThatRoundToOthers(value: Double) {
    #expect(throws: SFError.self) { _ = try Damping(momentum: value).checked(.force, steps: 2) }
    #expect(throws: SFError.self) {
      _ = try Damping(removedFactor: value).checked(.force, steps: 2)
    }
  }

  @Test(arguments: [1 - 0x1p-24, 0x1p-149, 0])
  func factorsThatDoNot(value: Double) {
    #expect(throws: Never.self) { _ = try Damping(momentum: value).checked(.force, steps: 2) }
    #expect(throws: Never.self) { _ = try Damping(removedFactor: value).checked(.force, steps: 2) }
  }

  @Test(arguments: [0, -1, 3, Int.max, Int.min])
  func stepOutOfRange(step: Int) {
    #expect(throws: SFError.self) { _ = try Damping(nestedFrom: step).checked(.force, steps: 2) }
    #expect(throws: Never.self) { _ = try Damping(nestedFrom: 2).checked(.force, steps: 2) }
  }

  @Test func whatAMethodDoesNotHave() {
    for method in Method.allCases where method.rule != .freeThenNested && method != .force {
      #expect(throws: SFError.self) { _ = try Damping(nestedFrom: 1).checked(method, steps: 1) }
      #expect(throws: SFError.self) {
        _ = try Damping(removedFactor: 0.5).checked(method, steps: 1)
      }
      let momentum = Damping(momentum: 0.5)
      if method.isOneShot {
        #expect(throws: SFError.self) { try momentum.checked(method, steps: 1) }
      } else {
        #expect(throws: Never.self) { try momentum.checked(method, steps: 1) }
      }
    }
  }
}
