// Selections of units of weights, against a plain loop over units. What must not live here: bounds of
// single weights (BoundedSelectionTests).

import Testing

@testable import SwiftForceCore

/// The unit of each weight of a tensor, by the definition of the pattern.
private func units(_ pattern: Pattern, _ axes: Axes, rows: Int, columns: Int) -> [Int] {
  let lengths = axes.lengths
  let size = lengths.reduce(1, *)
  guard lengths.count > 1 else { return Array(0..<size) }
  let row = lengths.enumerated().reduce(1) { $1.offset == axes.output ? $0 : $0 * $1.element }
  return (0..<size).map { position in
    var rest = position
    var indices = lengths.map { _ in 0 }
    for axis in lengths.indices.reversed() {
      (rest, indices[axis]) = rest.quotientAndRemainder(dividingBy: lengths[axis])
    }
    let (output, input) = (indices[axes.output], indices[axes.input])
    switch pattern {
    case .weights: return position
    case .outputs: return output
    case .inputs: return input
    case .kernels: return output * lengths[axes.input] + input
    case .blocks:
      let column = lengths.indices.reduce(0) {
        $1 == axes.output ? $0 : $0 * lengths[$1] + indices[$1]
      }
      return output / rows * ((row + columns - 1) / columns) + column / columns
    }
  }
}

/// The masks of a loop over all units, best first.
private func oracle(
  _ scores: [[Double]], _ units: [[Int]], competes: [[Bool]], keep: Int, areMeans: Bool
) -> [UInt8] {
  var all: [(score: Double, tensor: Int, unit: Int, cost: Int)] = []
  for tensor in scores.indices {
    let count = (units[tensor].max() ?? -1) + 1
    var (sums, costs) = ([Double](repeating: 0, count: count), [Int](repeating: 0, count: count))
    for (i, unit) in units[tensor].enumerated() where competes[tensor][i] {
      sums[unit] += scores[tensor][i]
      costs[unit] += 1
    }
    for unit in 0..<count where costs[unit] > 0 {
      let score = areMeans ? sums[unit] / Double(costs[unit]) : sums[unit]
      all.append((score, tensor, unit, costs[unit]))
    }
  }
  all.sort {
    $0.score != $1.score
      ? $0.score > $1.score : ($0.tensor, $0.unit) < ($1.tensor, $1.unit)
  }
  var kept = units.map { [Bool](repeating: false, count: ($0.max() ?? -1) + 1) }
  var left = keep
  for (place, one) in all.enumerated() {
    guard one.cost <= left || place == 0 else { break }
    left -= one.cost
    kept[one.tensor][one.unit] = true
  }
  return scores.indices.flatMap { tensor in
    scores[tensor].indices.map { kept[tensor][units[tensor][$0]] && competes[tensor][$0] ? 1 : 0 }
  }
}

@Suite struct PatternSelectionTests {
  private static let shapes: [[Axes]] = [
    [Axes([5, 6], output: 0, input: 1), Axes([4, 3, 2, 2], output: 0, input: 1)],
    [
      Axes([6, 5], output: 1, input: 0), Axes([2, 2, 3, 4], output: 3, input: 2),
      Axes([7], output: 0, input: 0),
    ],
    [Axes([3, 4, 2, 2], output: 1, input: 0), Axes([0, 4], output: 0, input: 1)],
    [Axes([900, 100], output: 0, input: 1), Axes([3, 3, 32, 100], output: 3, input: 2)],
  ]

  @Test(arguments: Pattern.allCases, [false, true])
  func unitsAreTheBest(pattern: Pattern, areMeans: Bool) throws {
    var generator = TestGenerator(state: 4)
    for round in 0..<80 {
      let axes = PatternSelectionTests.shapes[round % 40 == 39 ? 3 : round % 3]
      let sizes = axes.map { $0.lengths.reduce(1, *) }
      let (rows, columns) = (1 + round % 3, [1, 2, 4][round / 3 % 3])
      let isSigned = round % 2 == 0
      let scores = sizes.map { size in
        (0..<size).map { _ in Double(Int.random(in: isSigned ? -9...9 : 0...99, using: &generator))
        }
      }
      let competes = sizes.map { size in
        (0..<size).map { _ in round % 4 != 1 || Bool.random(using: &generator) }
      }
      let numbers = axes.map { units(pattern, $0, rows: rows, columns: columns) }
      let previous = competes.flatMap { $0.map { UInt8($0 ? 1 : 0) } }
      let keep = Int.random(in: 1...max(1, sizes.reduce(0, +)), using: &generator)
      let stored = Stored(.float32, scores.flatMap { $0 })
      let before = Memory<UInt8>(previous, guardedBy: 99)
      let masks = Memory<UInt8>(masksOf: previous.count)
      guard previous.contains(1) else { continue }
      let report = try withExtendedLifetime((stored, before, masks)) {
        try PatternSelection(
          selection: MaskSelection(
            scores: try Scores(
              .given, weights: stored.tensors(sizes), gradients: stored.tensors(sizes),
              previous: before.masks(sizes), competition: .survivors),
            keep: keep, masks: masks.masks(sizes),
            previous: (before.masks(sizes), previous.count { $0 == 1 }), applying: nil),
          units: try Units(
            pattern, axes: axes, sizes: sizes, rows: rows, columns: columns, areMeans: areMeans),
          counts: nil
        ).dispatch(
          wide: false, level: CPULevel.available[round % CPULevel.available.count],
          threads: 1 + round % 2)
      }
      let expected = oracle(scores, numbers, competes: competes, keep: keep, areMeans: areMeans)
      #expect(masks.isIntact)
      #expect(masks.values == expected, "\(pattern) \(axes) keep \(keep)")
      #expect(report.keep == expected.count { $0 == 1 })
      #expect(report.removed == previous.count { $0 == 1 } - report.keep)
      #expect(report.layerKept.reduce(0, +) == report.keep)
      let kept = zip(scores.flatMap { $0 }, expected).reduce(0) { $0 + ($1.1 == 1 ? $1.0 : 0) }
      #expect(report.saliency == kept)
    }
  }

  @Test func numbersThatDoNotFitAreRefused() {
    let good = Axes([4, 6], output: 0, input: 1)
    func refuses(_ axes: Axes, size: Int, rows: Int = 1, columns: Int = 1) -> Bool {
      let error = failure {
        _ = try Units(.blocks, axes: [axes], sizes: [size], rows: rows, columns: columns)
      }
      guard case .badBounds(tensor: 0, _) = error else { return false }
      return true
    }
    #expect(!refuses(good, size: 24))
    #expect(refuses(good, size: 23))
    #expect(refuses(Axes([4, 6], output: 2, input: 1), size: 24))
    #expect(refuses(Axes([4, 6], output: 0, input: -1), size: 24))
    #expect(refuses(Axes([4, 6], output: 0, input: 0), size: 24))
    #expect(refuses(Axes([.max, 6], output: 0, input: 1), size: 24))
    #expect(refuses(Axes([-4, -6], output: 0, input: 1), size: 24))
    #expect(refuses(good, size: 24, rows: 0))
    #expect(refuses(good, size: 24, columns: -1))
    // Output units lie between others, and blocks of four do not divide the three neighbours.
    #expect(refuses(Axes([2, 4, 3], output: 1, input: 0), size: 24, columns: 4))
    #expect(failure { _ = try Units(.outputs, axes: [], sizes: [4]) } != nil)
  }

  @Test func hugeBlocksAreWholeTensors() throws {
    let map = try UnitMap(
      .blocks, Axes([4, 6], output: 0, input: 1), size: 24, block: (.max, .max), tensor: 0)
    #expect(map.count == 1)
    #expect(map.units(from: 0, count: 24) == 0..<1)
  }
}
