// Damping: which settings saliencies and rules take, and which weights compete in which step.

import Testing

@testable import SwiftForceCore

extension Damping {
  /// These settings for connection sensitivity in a search of two steps.
  fileprivate func checked(
    _ rule: Rule = .free, _ saliency: Saliency = .connectionSensitivity, steps: Int = 2
  ) throws(SFError) -> Damping {
    try checked(saliency, rule, isOneShot: false, steps: steps)
  }
}

@Suite struct DampingTests {
  @Test func theDefaultIsThePaper() {
    for method in Method.allCases {
      #expect(throws: Never.self) {
        try Damping().checked(method.saliency, method.rule, isOneShot: method.isOneShot, steps: 1)
      }
    }
    #expect(Damping().competition(.free, step: 7) == .all)
    #expect(Damping().competition(.nested, step: 1) == .survivors)
    #expect(!Damping().accumulates)
  }

  @Test func theRuleSaysFromWhichStep() throws {
    let steps = [1, 2, 3, 5, 6, 7, 60]
    let found = try steps.map { try Damping().checked(.freeThenNested, steps: $0).nestedFrom }
    #expect(found == [1, 2, 3, 3, 4, 5, 31])
    #expect(try Damping(nestedFrom: 2).checked(.freeThenNested, steps: 60).nestedFrom == 2)
    #expect(try Damping().checked(.free, steps: 60) == Damping())
  }

  @Test func competitionByStep() {
    let late = Damping(removedFactor: 0.5, nestedFrom: 3)
    #expect(late.competition(.free, step: 2) == .discounted(0.5))
    #expect(late.competition(.free, step: 3) == .survivors)
    #expect(late.competition(.free, step: 4) == .survivors)
    #expect(Damping(removedFactor: 0).competition(.free, step: 1) == .survivors)
    #expect(Damping(momentum: 0.5).competition(.nested, step: 1) == .survivors)
  }

  @Test(arguments: [-0.1, 1, .nan, .infinity])
  func momentumOutOfRange(value: Double) {
    #expect(throws: SFError.self) { try Damping(momentum: value).checked() }
  }

  @Test(arguments: [-0.1, 1.1, .nan, .infinity])
  func factorOutOfRange(value: Double) {
    #expect(throws: SFError.self) { try Damping(removedFactor: value).checked() }
  }

  /// Scores are mostly binary32, in which these are 0 or 1.
  @Test(arguments: [1 - 1e-9, 1e-46, 1 - 0x1p-26])
  func factorsThatRoundToOthers(value: Double) {
    #expect(throws: SFError.self) { try Damping(momentum: value).checked() }
    #expect(throws: SFError.self) { try Damping(removedFactor: value).checked() }
  }

  @Test(arguments: [1 - 0x1p-24, 0x1p-149, 0])
  func factorsThatDoNot(value: Double) {
    #expect(throws: Never.self) { try Damping(momentum: value).checked() }
    #expect(throws: Never.self) { try Damping(removedFactor: value).checked() }
  }

  @Test(arguments: [0, -1, 3, Int.max, Int.min])
  func stepOutOfRange(step: Int) {
    #expect(throws: SFError.self) { try Damping(nestedFrom: step).checked() }
    #expect(throws: Never.self) { try Damping(nestedFrom: 2).checked() }
  }

  /// Every rule, with every saliency, in one step and in several.
  @Test(arguments: Saliency.allCases, Rule.allCases)
  func whatARuleDoesNotHave(saliency: Saliency, rule: Rule) {
    for isOneShot in [false, true] {
      func isTaken(_ damping: Damping) -> Bool {
        failure {
          _ = try damping.checked(saliency, rule, isOneShot: isOneShot, steps: 1)
        } == nil
      }
      let isFree = rule != .nested && !isOneShot
      #expect(isTaken(Damping(nestedFrom: 1)) == isFree)
      #expect(isTaken(Damping(removedFactor: 0)) == isFree)
      #expect(isTaken(Damping(removedFactor: 0.5)) == (isFree && saliency != .given))
      #expect(isTaken(Damping(momentum: 0.5)) == (!isOneShot && saliency != .given))
    }
  }

  @Test func whatGivenScoresRefuse() {
    #expect(
      failure { _ = try Damping(momentum: 0.5).checked(.free, .given) }
        == .badSetting(name: "momentum", value: 0.5, expected: "0 for given scores"))
    #expect(
      failure { _ = try Damping(removedFactor: 0.5).checked(.free, .given) }
        == .badSetting(name: "removed_factor", value: 0.5, expected: "0 or 1 for given scores"))
  }
}
