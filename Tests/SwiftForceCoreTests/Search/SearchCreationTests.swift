// Making a search: what is accepted, and what is refused.

import SwiftForceCore
import Testing

@Suite struct SearchCreationTests {
  @Test(arguments: Method.allCases)
  func stepsAreChecked(method: Method) {
    for steps in [0, -1, .min] {
      #expect(throws: SFError.badSteps(steps, oneShot: method.isOneShot)) {
        try Search(method, sizes: [10], keep: 1, steps: steps)
      }
    }
    #expect(throws: SFError.badSteps(0, oneShot: method.isOneShot)) {
      try Search(method, sizes: [10], keep: 1, keeps: [])
    }
    let two = failure { _ = try Search(method, sizes: [10], keep: 1, steps: 2) }
    let listed = failure { _ = try Search(method, sizes: [10], keep: 1, keeps: [2, 1]) }
    #expect(two == (method.isOneShot ? .badSteps(2, oneShot: true) : nil))
    #expect(listed == two)
  }

  @Test func sizesAreChecked() {
    #expect(throws: SFError.badCount(0)) { try Search(.snip, sizes: [], keep: 1, steps: 1) }
    #expect(throws: SFError.badCount(0)) { try Search(.snip, sizes: [0, 0], keep: 1, steps: 1) }
    #expect(throws: SFError.badCount(-1)) { try Search(.snip, sizes: [5, -1], keep: 1, steps: 1) }
    #expect(throws: SFError.badCount(.min)) {
      try Search(.snip, sizes: [.min], keep: 1, keeps: [1])
    }
    #expect(throws: SFError.badCount(1)) {
      try Search(.snip, sizes: [.max, 1], keep: 1, steps: 1)
    }
    #expect(throws: SFError.badCount(.max)) {
      try Search(.snip, sizes: [.max], keep: 1, steps: 1)
    }
    #expect(throws: Never.self) { try Search(.snip, sizes: [1 << 62], keep: 1, steps: 1) }
  }

  @Test func keepAndListsAreChecked() {
    for keep in [0, -1, 11, .max] {
      #expect(throws: SFError.badKeep(keep: keep, of: 10)) {
        try Search(.force, sizes: [4, 6], keep: keep, steps: 3)
      }
      #expect(throws: SFError.badKeep(keep: keep, of: 10)) {
        try Search(.force, sizes: [4, 6], keep: keep, keeps: [keep])
      }
    }
    #expect(throws: SFError.badSchedule(step: 2, keep: 6, previous: 5)) {
      try Search(.force, sizes: [4, 6], keep: 1, keeps: [5, 6, 1])
    }
  }
}
