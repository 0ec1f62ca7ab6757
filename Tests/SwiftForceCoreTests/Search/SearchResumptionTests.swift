// A search that continues where another one stopped.

import SwiftForceCore
import Testing

@Suite struct SearchResumptionTests {
  private static let keeps = [40, 20, 5]

  private static func gradients(_ step: Int) -> [Float] {
    shortNumbers(60, seed: UInt64(step) + 3)
  }

  /// A search that continues after each step of another one finds the same masks and reports.
  @Test(arguments: SearchFailureTests.progressive, 0...3)
  func endsAsTheOther(method: Method, taken: Int) throws {
    let weights = shortNumbers(60, seed: 1)
    let whole = try SearchRun(method, weights, keeps: Self.keeps)
    var search = try Search(method, sizes: [60], keep: 5, keeps: Self.keeps, taken: taken)
    #expect(search.taken == taken)
    #expect(search.isDone == (taken == 3))
    var previous: Memory<UInt8>?
    for t in 0..<3 {
      let before = whole.masks
      let report = try whole.step(gradients: Self.gradients(t))
      if t < taken {
        previous = whole.masks
        #expect(search.report(ofStep: t + 1) == nil)
        continue
      }
      let (given, next) = (Memory(weights), Memory<UInt8>(masksOf: 60))
      let gradients = Memory(Self.gradients(t))
      #expect(previous == nil || previous?.values == before.values)
      var found = try withExtendedLifetime((given, next, gradients, previous)) {
        try search.step(
          weights: given.tensors([60]), gradients: gradients.tensors([60]),
          previous: previous?.masks([60]), masks: next.masks([60]))
      }
      #expect(search.report(ofStep: t + 1) == found)
      found.passes = 0
      #expect(found == report)
      #expect(next.values == whole.masks.values)
      previous = next
    }
    #expect(search.isDone)
  }

  @Test func needsTheMasksOfTheStepBefore() throws {
    var search = try Search(.force, sizes: [3], keep: 1, keeps: [2, 1], taken: 1)
    let numbers = Memory<Float>([1, 2, 3])
    let masks = Memory<UInt8>(masksOf: 3)
    #expect(throws: SFError.masksChanged(kept: 0, expected: 2)) {
      try search.step(
        weights: numbers.tensors([3]), gradients: numbers.tensors([3]), previous: nil,
        masks: masks.masks([3]))
    }
    #expect(search.taken == 1 && search.reports.isEmpty)
  }

  @Test func stepsTakenAreChecked() {
    for taken in [-1, 3, .max, .min] {
      #expect(throws: SFError.badTaken(taken, steps: 2)) {
        try Search(.force, sizes: [3], keep: 1, keeps: [2, 1], taken: taken)
      }
    }
  }

  @Test func totalsAreChecked() {
    #expect(throws: SFError.sizeMismatch(.weights, tensor: nil, got: 3, expected: 2)) {
      try Search(.force, sizes: [3], keep: 1, steps: 1, total: 2)
    }
    #expect(throws: SFError.badCount(0)) {
      try Search(.force, sizes: [], keep: 1, steps: 1, total: 0)
    }
    #expect(throws: SFError.badKeep(keep: 8, of: 7)) {
      try Search(.force, sizes: [3], keep: 8, steps: 1, total: 7)
    }
    #expect(throws: Never.self) { try Search(.force, sizes: [3], keep: 7, steps: 1, total: 7) }
  }
}
