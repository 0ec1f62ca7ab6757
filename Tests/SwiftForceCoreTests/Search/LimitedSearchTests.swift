// Searches within limits, and searches whose saliency or rule the caller names.

import Testing

@testable import SwiftForceCore

/// Takes all steps, and checks what holds for each.
private func check(
  _ search: Search, finally final: [Int]? = nil, isGiven: Bool = true
) throws {
  let sizes = search.sizes
  let count = sizes.reduce(0, +)
  let run = SearchRun(search, weights: shortNumbers(count, seed: 1))
  var before = [UInt8](repeating: 1, count: count)
  let ranges = try search.limits.ranges(of: sizes)
  var kept = sizes
  for (t, keep) in search.keeps.enumerated() {
    // All are negative in the second step.
    let gradients = shortNumbers(count, seed: UInt64(t) + 2).map { t == 1 ? -abs($0) - 1 : $0 }
    let scores = (isGiven ? gradients : gradients.map { $0 * $0 }).map { Double($0) }
    let isNested = search.damping.competition(search.rule, step: t + 1) == .survivors
    let report = try run.step(gradients: gradients)
    let masks = run.masks.values
    var trial = BoundedTrial(
      scores: scores, sizes: sizes, bounds: search.limits.bounds ?? sizes.map { _ in Bounds() },
      keep: keep)
    if t > 0, isNested { trial.competes = before.map { $0 == 1 } }
    if let final {
      let counts = Allocation.counts(keep, towards: final, of: sizes, within: ranges)
      #expect(report.layerKept == counts)
      #expect(zip(counts, kept).allSatisfy { $0 <= $1 })
      for (tensor, number) in counts.enumerated() {
        (trial.bounds[tensor].least, trial.bounds[tensor].most) = (number, number)
      }
    }
    #expect(masks == trial.greedy(), "step \(t + 1)")
    #expect(report.keep == keep)
    #expect(report.saliency == trial.total(masks))
    #expect(report.totalSaliency == trial.total(trial.competes?.map { $0 ? 1 : 0 }))
    #expect(report.objectiveBefore == trial.total(before))
    #expect(report.candidates == (trial.competes?.count { $0 } ?? count))
    #expect(zip(report.layerKept, ranges).allSatisfy { $1.contains($0) })
    if t > 0, isNested { #expect(zip(before, masks).allSatisfy { $0 >= $1 }) }
    #expect(
      run.masked.bits == zip(run.weights.values, masks).map { $1 == 1 ? $0.bitPattern : 0 })
    (before, kept) = (masks, report.layerKept)
  }
  if let final { #expect(kept == final) }
}

@Suite struct LimitedSearchTests {
  /// Units in runs, groups that do not divide them, and an empty tensor.
  private static var limits: Limits {
    var floors = Bounds()
    (floors.outputs, floors.inner, floors.leastPerOutput, floors.least) = (6, 5, 2, 20)
    var caps = Bounds()
    (caps.outputs, caps.group, caps.mostPerGroup, caps.leastPerOutput) = (4, 4, 2, 1)
    return Limits(bounds: [floors, Bounds(), caps, Bounds()])
  }
  private static let sizes = [120, 0, 120, 300]

  @Test(arguments: Rule.allCases)
  func everyStepRespectsBounds(rule: Rule) throws {
    let search = try Search(
      .force, sizes: Self.sizes, keep: 60, steps: 5, saliency: .given, rule: rule,
      limits: Self.limits)
    #expect(search.rule == rule && search.saliency == .given && search.method == .force)
    try check(search)
  }

  @Test(arguments: Rule.allCases)
  func everyStepHasItsCounts(rule: Rule) throws {
    var limits = Self.limits
    limits.counts = [22, 0, 40, 0]
    let final = [22, 0, 40, 0]
    try check(
      try Search(
        .force, sizes: Self.sizes, keep: 62, steps: 6, saliency: .given, rule: rule, limits: limits),
      finally: final)
    limits.bounds = nil
    try check(
      try Search(
        .force, sizes: Self.sizes, keep: 62, steps: 6, saliency: .given, rule: rule, limits: limits),
      finally: final)
  }

  @Test(arguments: Rule.allCases)
  func givenScoresWithoutLimits(rule: Rule) throws {
    try check(
      try Search(.force, sizes: Self.sizes, keep: 30, steps: 5, saliency: .given, rule: rule))
  }

  /// Threads are used only for large tensors, and one pass only there.
  @Test(arguments: Rule.allCases)
  func manyGivenScores(rule: Rule) throws {
    try check(
      try Search(
        .force, sizes: [30_000, 40_000], keep: 5000, steps: 3, saliency: .given, rule: rule))
  }

  @Test func theCallersAxesOverrideThoseOfTheMethod() throws {
    for rule in Rule.allCases {
      let search = try Search(
        .graspIt, sizes: [50, 50], keep: 9, steps: 4, rule: rule)
      #expect(search.rule == rule && search.saliency == .squaredGradient)
      try check(search, isGiven: false)
      try check(
        try Search(
          .force, sizes: [50, 50], keep: 9, steps: 4, saliency: .squaredGradient, rule: rule),
        isGiven: false)
    }
    let plain = try Search(.graspIt, sizes: [5], keep: 1, steps: 2)
    #expect(plain.rule == .nested && plain.saliency == .squaredGradient)
  }

  @Test func stepsKeepAsManyAsCapsAllow() throws {
    var bound = Bounds()
    (bound.group, bound.mostPerGroup) = (4, 2)
    let limits = Limits(bounds: [bound])
    let search = try Search(
      .force, sizes: [100], keep: 10, steps: 5, schedule: .linear, limits: limits)
    #expect(search.keeps == [50, 50, 46, 28, 10])
    #expect(
      failure {
        _ = try Search(.force, sizes: [100], keep: 10, keeps: [60, 10], limits: limits)
      } == .badBounds(tensor: nil, reason: "60 weights are to be kept, and the caps allow 50"))
    #expect(
      failure { _ = try Search(.force, sizes: [100], keep: 51, steps: 2, limits: limits) }
        == .badBounds(tensor: nil, reason: "51 weights are to be kept, and the caps allow 50"))
  }

  @Test func limitsOfRanksNeedTheTensorsOfAll() {
    for limits in [Limits(bounds: [Bounds()]), Limits(counts: [1]), Limits(costs: [1])] {
      #expect(
        failure { _ = try Search(.force, sizes: [5], keep: 1, steps: 2, total: 5, limits: limits) }
          == .badBounds(
            tensor: nil, reason: "limits of several ranks need the tensors of all"))
    }
  }

  @Test func givenScoresAreNeededAndHaveNoObjective() throws {
    let search = try Search(.force, sizes: [3], keep: 1, steps: 2, saliency: .given)
    let run = SearchRun(search, weights: [1, 2, 3])
    #expect(failure { try run.step(gradients: nil) } == .missingGradients)
    #expect(
      withExtendedLifetime(run) {
        failure {
          _ = try search.objective(
            weights: run.weights.tensors([3]), gradients: run.weights.tensors([3]),
            masks: run.masks.masks([3]))
        }
      } == .noObjective(.given))
    #expect(failure { try run.step(gradients: [1, .infinity, 1]) } != nil)
    #expect(run.search.taken == 0)
  }
}
