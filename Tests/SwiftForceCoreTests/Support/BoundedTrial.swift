// One selection within bounds, and the masks that it must find, by a greedy choice and among all
// masks there are. What must not live here: which bounds are tried.

import Testing

@testable import SwiftForceCore

/// A selection among some scores within limits.
struct BoundedTrial {
  /// Multiples of a power of two, so that their sums are exact.
  var scores: [Double]
  var sizes: [Int]
  var bounds: [Bounds]
  var keep: Int
  /// Whether scores are stored in binary64.
  var isWide = false
  /// Which weights compete; nil: all.
  var competes: [Bool]?

  /// Selects, and compares the report with the masks.
  func check(
    level: CPULevel? = nil, threads: Int? = nil
  ) throws -> (masks: [UInt8], report: Report) {
    let stored = Stored(isWide ? .float64 : .float32, scores)
    let masks = Memory<UInt8>(masksOf: scores.count)
    try Limits(bounds: bounds).check([keep], of: sizes)
    let report = try withExtendedLifetime((stored, masks)) {
      try bounded(
        MaskSelection(
          scores: Scores(given: stored.tensors(sizes)), keep: keep, masks: masks.masks(sizes),
          previous: nil, applying: nil)
      ).dispatch(wide: isWide, level: level, threads: threads)
    }
    #expect(masks.isIntact && stored.isIntact)
    let kept = masks.values
    let smallest = scores.indices.reduce(Double.infinity) {
      kept[$1] == 1 ? min($0, scores[$1]) : $0
    }
    #expect(kept.allSatisfy { $0 <= 1 })
    #expect(report.keep == kept.count { $0 == 1 } && report.keep == keep)
    #expect(report.threshold == smallest)
    #expect(report.atThreshold == scores.count { $0 == smallest })
    #expect(
      report.keptAtThreshold == scores.indices.count { scores[$0] == smallest && kept[$0] == 1 })
    #expect(report.saliency == total(kept))
    #expect(report.totalSaliency == total(nil))
    #expect(report.zeroScores == scores.count { $0 == 0 })
    #expect(report.layerKept.reduce(0, +) == keep)
    return (kept, report)
  }

  private func bounded(_ selection: MaskSelection) throws(SFError) -> BoundedSelection {
    let limits = Limits(bounds: bounds)
    return BoundedSelection(selection, within: limits, ranges: try limits.ranges(of: sizes))
  }

  /// What a step did.
  struct Step {
    var masks: [UInt8]
    var report = Report()
    var error: SFError?
    /// Whether the masked weights are those of the new masks or, after an error, of those before.
    var isRestored: Bool
  }

  /// A later step of a search with these scores.
  ///
  /// - Parameters:
  ///   - before: the masks of the step before.
  ///   - expected: how many weights these must keep; nil: as many as they do.
  func step(
    before: [UInt8], _ competition: Competition, expected: Int? = nil, threads: Int? = nil
  ) throws -> Step {
    let type: ElementType = isWide ? .float64 : .float32
    let stored = Stored(type, scores)
    let weights = Stored(type, scores.indices.map { Double($0 + 1) })
    func masked(_ masks: [UInt8]) -> [UInt64] {
      zip(weights.bits, masks).map { $1 == 1 ? $0 : 0 }
    }
    let written = Stored(type, bits: masked(before))
    let previous = Memory(before, guardedBy: 99)
    let masks = Memory<UInt8>(masksOf: scores.count)
    let selection = MaskSelection(
      scores: try Scores(
        .given, weights: weights.tensors(sizes), gradients: stored.tensors(sizes),
        previous: previous.masks(sizes), competition: competition),
      keep: keep, masks: masks.masks(sizes),
      previous: (previous.masks(sizes), expected ?? before.count { $0 == 1 }),
      applying: (weights.tensors(sizes), written.mutableTensors(sizes)))
    var step = Step(masks: [], isRestored: true)
    withExtendedLifetime((stored, weights, written, previous, masks)) {
      do throws(SFError) {
        step.report = try bounded(selection).dispatch(wide: isWide, threads: threads)
      } catch {
        step.error = error
      }
    }
    step.masks = masks.values
    step.isRestored =
      written.bits == masked(step.error == nil ? step.masks : before) && previous.values == before
      && masks.isIntact && written.isIntact && previous.isIntact
    return step
  }

  /// The sum of the scores that masks keep; nil: of all.
  func total(_ masks: [UInt8]?) -> Double {
    scores.indices.reduce(0) { masks?[$1] == 0 ? $0 : $0 + scores[$1] }
  }

  /// A place of a weight: numbers that count tensors, output units and groups of the whole list.
  private struct Places {
    var tensors: [Int] = []
    var units: [Int] = []
    var groups: [Int] = []
    /// The tensor of each unit, and the unit of each group.
    var tensorOfUnit: [Int] = []
    var unitOfGroup: [Int] = []
  }

  private var places: Places {
    var places = Places()
    for (tensor, (size, bound)) in zip(sizes, bounds).enumerated() where size > 0 {
      let outputs = max(1, bound.outputs)
      let length = size / outputs
      let inner = outputs > 1 ? bound.inner : length
      let group = bound.group > 0 ? bound.group : length
      let groups = (length + group - 1) / group
      let (firstUnit, firstGroup) = (places.tensorOfUnit.count, places.unitOfGroup.count)
      for position in 0..<size {
        let unit = position / inner % outputs
        let inUnit = position / (inner * outputs) * inner + position % inner
        places.tensors.append(tensor)
        places.units.append(firstUnit + unit)
        places.groups.append(firstGroup + unit * groups + inUnit / group)
      }
      for unit in 0..<outputs {
        places.tensorOfUnit.append(tensor)
        for _ in 0..<groups { places.unitOfGroup.append(firstUnit + unit) }
      }
    }
    return places
  }

  /// Whether some masks that keep `keep` weights contain all of these and respect the bounds. By
  /// counting alone: what floors still demand must fit, and what caps still allow must suffice.
  private func isPossible(_ kept: [UInt8], _ places: Places) -> Bool {
    var inGroup = places.unitOfGroup.map { _ in (taken: 0, all: 0) }
    for (weight, group) in places.groups.enumerated() where competes?[weight] != false {
      inGroup[group].all += 1
      inGroup[group].taken += Int(kept[weight])
    }
    var inUnit = places.tensorOfUnit.map { _ in (taken: 0, most: 0) }
    for (group, unit) in places.unitOfGroup.enumerated() {
      let bound = bounds[places.tensorOfUnit[unit]]
      let cap = bound.group > 0 ? bound.mostPerGroup : .max
      if inGroup[group].taken > cap { return false }
      inUnit[unit].taken += inGroup[group].taken
      inUnit[unit].most += min(cap, inGroup[group].all)
    }
    var inTensor = sizes.map { _ in (least: 0, most: 0) }
    for (unit, tensor) in places.tensorOfUnit.enumerated() {
      let (bound, taken) = (bounds[tensor], inUnit[unit].taken)
      let allowed = min(inUnit[unit].most, bound.mostPerOutput)
      if taken > allowed || bound.leastPerOutput > allowed { return false }
      inTensor[tensor].least += max(taken, bound.leastPerOutput)
      inTensor[tensor].most += allowed
    }
    var (demand, allowed) = (0, 0)
    for (bound, own) in zip(bounds, inTensor) {
      let (least, most) = (max(own.least, bound.least), min(own.most, bound.most))
      if least > most { return false }
      demand += least
      allowed += most
    }
    return demand <= keep && keep <= allowed
  }

  /// The masks of a greedy choice: weights in order, as long as the bounds can still be met; nil if
  /// they cannot be.
  func greedy() -> [UInt8]? {
    let places = places
    var masks = [UInt8](repeating: 0, count: scores.count)
    guard isPossible(masks, places) else { return nil }
    var units = places.tensorOfUnit.map { _ in 0 }
    var groups = places.unitOfGroup.map { _ in 0 }
    // What each tensor must keep: what was taken, and what floors of other units demand.
    var demands = sizes.map { _ in 0 }
    for tensor in places.tensorOfUnit { demands[tensor] += bounds[tensor].leastPerOutput }
    var demand = zip(demands, bounds).reduce(0) { $0 + max($1.0, $1.1.least) }
    var kept = 0
    let scores = scores
    let order = scores.indices.filter { competes?[$0] != false }.sorted {
      scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1
    }
    for weight in order where kept < keep {
      let tensor = places.tensors[weight]
      let (unit, group) = (places.units[weight], places.groups[weight])
      let bound = bounds[tensor]
      let next = demands[tensor] + (units[unit] >= bound.leastPerOutput ? 1 : 0)
      let added = max(next, bound.least) - max(demands[tensor], bound.least)
      guard units[unit] < bound.mostPerOutput,
        bound.group == 0 || groups[group] < bound.mostPerGroup, next <= bound.most,
        demand + added <= keep
      else { continue }
      demand += added
      demands[tensor] = next
      units[unit] += 1
      groups[group] += 1
      masks[weight] = 1
      kept += 1
    }
    return masks
  }

  /// The largest total score of all masks that respect the bounds.
  func best() -> Double? {
    let places = places
    var best: Double?
    for bits in 0..<(1 << scores.count) where bits.nonzeroBitCount == keep {
      let masks = scores.indices.map { UInt8(bits >> $0 & 1) }
      guard isPossible(masks, places) else { continue }
      best = max(best ?? -.infinity, total(masks))
    }
    return best
  }

  /// Two tensors with random bounds, and scores of either sign with or without many ties.
  static func random(_ generator: inout TestGenerator, length: Int) -> BoundedTrial {
    func pick(_ numbers: [Int]) -> Int { numbers.randomElement(using: &generator) ?? 0 }
    var (sizes, bounds): ([Int], [Bounds]) = ([], [])
    for _ in 0..<2 {
      var bound = Bounds()
      let (outputs, outer, inner) = (pick([1, 2, 3]), pick([1, 1, 2]), pick([1, 2, length]))
      let size = outputs * outer * inner
      bound.outputs = pick([0, outputs, outputs])
      bound.inner = bound.outputs > 0 ? inner : 1
      if pick([0, 1]) == 1 { bound.least = pick([1, size / 4, size / 2]) }
      if pick([0, 1]) == 1 { bound.most = pick([size, size - size / 4, size / 2]) }
      if pick([0, 1]) == 1 { bound.leastPerOutput = pick([1, 2, outer * inner / 2]) }
      if pick([0, 0, 1]) == 1 { bound.mostPerOutput = pick([1, outer * inner - 1, 2]) }
      if pick([0, 0, 1]) == 1 {
        (bound.group, bound.mostPerGroup) = (pick([2, 3, 4]), pick([1, 2]))
      }
      sizes.append(size)
      bounds.append(bound)
    }
    let count = sizes.reduce(0, +)
    let range = pick([2, 5, 1000])
    let least = pick([0, -range, -range / 2])
    let scores = (0..<count).map { _ in
      Double(Int.random(in: least..<least + range, using: &generator))
    }
    return BoundedTrial(
      scores: scores, sizes: sizes, bounds: bounds, keep: pick(Array(1...count)),
      isWide: pick([0, 1]) == 1)
  }
}
