// The table of methods: its rows, and what holds for every row.

import SwiftForceCore
import Testing

@Suite struct MethodTests {
  @Test(arguments: [
    (Method.snip, Saliency.connectionSensitivity, Rule.free, true),
    (.iterativeSnip, .connectionSensitivity, .nested, false),
    (.force, .connectionSensitivity, .free, false),
    (.forceNested, .connectionSensitivity, .freeThenNested, false),
    (.graspIt, .squaredGradient, .nested, false),
    (.magnitude, .magnitude, .free, true),
    (.random, .random, .free, true),
  ])
  func rows(method: Method, saliency: Saliency, rule: Rule, isOneShot: Bool) {
    #expect(method.saliency == saliency)
    #expect(method.rule == rule)
    #expect(method.isOneShot == isOneShot)
  }

  /// Scores that do not depend on the masked weights are the same in every step, so more than one
  /// step would change nothing.
  @Test(arguments: Method.allCases)
  func aMethodWithoutGradientsIsOneShot(method: Method) {
    #expect(method.isOneShot || method.saliency.readsGradients)
  }

  @Test func noTwoRowsAreEqual() {
    let rows = Method.allCases.map { "\($0.saliency) \($0.rule) \($0.isOneShot)" }
    #expect(Set(rows).count == Method.allCases.count)
  }
}
