// Error messages: every case has one sentence that contains its facts.

import SwiftForceCore
import Testing

@Suite struct ErrorsTests {
  @Test(arguments: [
    (SFError.badSparsity(1.25), ["sparsity", "[0, 1)", "1.25"]),
    (.badKeep(keep: 7, of: 5), ["1 ... 5", "7"]),
    (.badSteps(0, oneShot: false), ["at least one step", "0"]),
    (.badSteps(3, oneShot: true), ["one-shot", "3"]),
    (.badSchedule(step: 2, keep: 6, previous: 5), ["step 2", "6", "5"]),
    (.badCount(-4), ["-4"]),
    (.sizeMismatch(.gradients, tensor: 3, got: 8, expected: 9), ["gradients[3]", "8", "9"]),
    (.sizeMismatch(.masks, tensor: nil, got: 1, expected: 2), ["masks", "1", "2"]),
    (
      .nonFinite(
        NonFinite(operand: .scores, tensor: 4, firstIndex: 17, count: 2, value: .infinity)),
      ["scores[4]", "17", "2", "inf"]
    ),
    (.missingGradients, ["gradients"]),
    (.noObjective(.random), ["objective", "random"]),
    (.searchDone(steps: 60), ["60"]),
    (.masksChanged(kept: 10, expected: 11), ["10", "11"]),
    (.arraysChanged, ["changed while"]),
    (.badLabel(index: 5, label: 12, classes: 10), ["labels[5]", "12", "0 ... 9"]),
    (.badRow(index: 6, row: -1, samples: 100), ["rows[6]", "-1", "0 ... 99"]),
    (.badArchitecture(layer: 2, reason: "does not fit"), ["layer 2", "does not fit"]),
    (.badHyperparameter(name: "momentum", value: -0.5), ["momentum", "-0.5"]),
    (
      .badSetting(name: "momentum", value: 1.5, expected: "in [0, 1)"),
      ["momentum", "1.5", "[0, 1)"]
    ),
    (.noMemory(bytes: 4096), ["4096"]),
    (.badTaken(9, steps: 7), ["0 ... 7", "9"]),
    (.badStart(tensor: 3, start: 17), ["weights[3]", "17"]),
    (.rankFailed, ["another rank failed"]),
    (.ranksDiffer, ["not at the same step"]),
    (.exchangeFailed, ["sums over all ranks"]),
  ])
  func messagesHoldTheFacts(error: SFError, facts: [String]) {
    for fact in facts { #expect(error.message.contains(fact), "\(error.message)") }
    #expect(!error.message.contains("\n"))
    #expect(error.message.utf8.allSatisfy { $0 < 128 })
  }
}
