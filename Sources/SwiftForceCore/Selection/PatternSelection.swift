// A selection among units of weights: their scores are added up, the best units are kept, and masks
// are written for their weights. What must not live here: which weights make a unit (Pattern).

import SwiftForceKernels

/// A selection of whole units.
///
/// The score of a unit is the sum, or the mean, of the scores of its weights that compete. Units are
/// kept in the order of their scores, equal ones by position, for as long as their weights fit into
/// the number to keep; the first that does not fit ends it, but one unit is kept in any case.
///
/// - Complexity: two passes over the tensors; memory for each unit.
struct PatternSelection: KernelJob {
  let selection: MaskSelection
  let units: Units
  /// How many weights each tensor may keep; nil: scores decide.
  let counts: [Int]?

  /// The units that a chunk has a part of.
  private struct Part {
    var first = 0
    var sums: [Double] = []
    /// How many weights of each compete.
    var costs: [Int] = []
    var isFinite = true
  }

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let output = selection.output(K.self)
    let sizes = selection.scores.sizes
    let chunks = Chunk.all(of: sizes)
    let workers = workers(threads, chunks, sizes.reduce(0, +))
    _ = try selection.checkedPrevious(output, chunks, workers)
    let tensors = try scored(K.self, chunks, workers)
    let choice = choose(tensors)
    do throws(SFError) {
      let report = try write(output, chunks, workers, tensors, choice)
      selection.storeAccumulated(K.self, threads)
      return report
    } catch {
      output.restore()
      throw error
    }
  }

  /// The units of each tensor. Sums are taken chunk by chunk, so that threads do not matter.
  private func scored<K: BlockKernels>(
    _: K.Type, _ chunks: [Chunk], _ workers: Int
  ) throws(SFError) -> [UnitScores] {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let parts = Parallel.map(chunks.count, workers: workers) { worker, round in
      part(chunks[round], scratches[worker])
    }
    if !parts.allSatisfy(\.isFinite) { try selection.scores.checkFinite() }
    var sums = units.maps.map { [Double](repeating: 0, count: $0.count) }
    var costs = units.maps.map { [Int](repeating: 0, count: $0.count) }
    for (chunk, part) in zip(chunks, parts) {
      for i in part.sums.indices {
        sums[chunk.tensor][part.first + i] += part.sums[i]
        costs[chunk.tensor][part.first + i] += part.costs[i]
      }
    }
    for (tensor, sums) in sums.enumerated() {
      // Sums of numbers near the largest one may have no value.
      guard let unit = sums.firstIndex(where: { !$0.isFinite }) else { continue }
      throw .nonFinite(
        NonFinite(
          operand: .scores, tensor: tensor, firstIndex: unit, count: sums.count { !$0.isFinite },
          value: sums[unit]))
    }
    return zip(sums, costs).map { UnitScores(sums: $0, costs: $1, areMeans: units.areMeans) }
  }

  private func part<K: BlockKernels>(_ chunk: Chunk, _ scratch: Scratch<K>) -> Part {
    let map = units.maps[chunk.tensor]
    let range = map.units(from: chunk.start, count: chunk.count)
    var part = Part(
      first: range.lowerBound, sums: [Double](repeating: 0, count: range.count),
      costs: [Int](repeating: 0, count: range.count))
    chunk.forEachBlock { block in
      part.isFinite = selection.scores.fill(scratch, for: block) && part.isFinite
      map.forEachRun(from: block.start, count: block.count) { at, unit, length in
        var (sum, cost) = (0.0, 0)
        for i in at..<at + length {
          let key = unsafe scratch.keys[i]
          guard key > K.excluded else { continue }
          sum += Double(K.score(of: key))
          cost += 1
        }
        part.sums[unit - range.lowerBound] += sum
        part.costs[unit - range.lowerBound] += cost
      }
    }
    return part
  }

  /// Which units of each tensor are kept.
  private func choose(_ tensors: [UnitScores]) -> [[Bool]] {
    guard let counts else {
      return UnitScores.best(of: tensors, within: selection.keep)
    }
    return zip(tensors, counts).map { tensor, count in
      count > 0
        ? UnitScores.best(of: [tensor], within: count)[0]
        : tensor.keys.map { _ in false }
    }
  }

  // MARK: Writing

  /// Writes masks and masked weights.
  private func write<K: BlockKernels>(
    _ output: MaskOutput<K>, _ chunks: [Chunk], _ workers: Int, _ tensors: [UnitScores],
    _ choice: [[Bool]]
  ) throws(SFError) -> Report {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let written = Parallel.map(chunks.count, workers: workers) { worker, round in
      write(chunks[round], scratches[worker], output, choice[chunks[round].tensor])
    }
    var total = Statistics()
    var layerKept = [Int](repeating: 0, count: selection.masks.count)
    for (chunk, part) in zip(chunks, written) {
      total += part
      layerKept[chunk.tensor] += part.kept
    }
    if !total.isFinite { try selection.scores.checkFinite() }
    var smallest = UnitScores.Key.max
    for (tensor, isKept) in zip(tensors, choice) {
      for (key, isKept) in zip(tensor.keys, isKept) where isKept { smallest = min(smallest, key) }
    }
    var (ties, keptTies) = (0, 0)
    for (tensor, isKept) in zip(tensors, choice) {
      for (unit, key) in tensor.keys.enumerated() where key == smallest {
        ties += tensor.costs[unit]
        keptTies += isKept[unit] ? tensor.costs[unit] : 0
      }
    }
    var report = selection.report(
      total, Threshold<K>(key: 0, keptTies: keptTies, ties: ties), layerKept,
      of: selection.scores.sizes.reduce(0, +), 2)
    report.threshold = UnitScores.score(of: smallest)
    report.keep = total.kept
    if selection.previous == nil {
      report.removed = selection.scores.sizes.reduce(0, +) - total.kept
    }
    return report
  }

  private func write<K: BlockKernels>(
    _ chunk: Chunk, _ scratch: Scratch<K>, _ output: MaskOutput<K>, _ isKept: [Bool]
  ) -> Statistics {
    let map = units.maps[chunk.tensor]
    let bracket = Bracket<K>(around: .max)
    var total = Statistics()
    chunk.forEachBlock { block in
      let mask = unsafe output.mask(block)
      let (found, objective) = unsafe selection.scores.classify(
        scratch, block, bracket, into: scratch.mask)
      map.forEachRun(from: block.start, count: block.count) { at, unit, length in
        let kept = isKept[unit]
        for i in at..<at + length { unsafe mask[i] = kept && scratch.keys[i] > K.excluded ? 1 : 0 }
      }
      total += output.finish(block, found, objective, scratch)
    }
    return total
  }
}

/// The scores of the units of a tensor.
///
/// They are binary64, also where scores of weights are binary32, so that their sums are not rounded
/// to what would be ties.
struct UnitScores {
  typealias Key = Int64
  private typealias Loops = SwiftForceKernels.Blocks<Double>

  /// The keys of the scores; `excluded` for units of which no weight competes.
  let keys: [Key]
  /// How many weights of each compete.
  let costs: [Int]

  /// - Parameter sums: of the scores of the weights of each.
  init(sums: [Double], costs: [Int], areMeans: Bool) {
    keys = zip(sums, costs).map { sum, cost in
      cost > 0 ? Loops.key(of: areMeans ? sum / Double(cost) : sum) : Loops.excluded
    }
    self.costs = costs
  }

  static func score(of key: Key) -> Double { Loops.score(of: key) }

  /// The best units of some tensors, for as long as their weights fit into a number; one at least.
  static func best(of tensors: [UnitScores], within budget: Int) -> [[Bool]] {
    let (threshold, above) = threshold(of: tensors, within: budget)
    var left = budget - above
    var isOver = false
    var isAny = above > 0
    return tensors.map { tensor in
      zip(tensor.keys, tensor.costs).map { key, cost in
        if key > threshold { return true }
        guard key == threshold, cost > 0, !isOver else { return false }
        guard cost <= left || !isAny else {
          isOver = true
          return false
        }
        left -= cost
        isAny = true
        return true
      }
    }
  }

  /// The key whose units still fit in part, or all if it is the smallest, and how many weights the
  /// units above it have.
  private static func threshold(
    of tensors: [UnitScores], within budget: Int
  ) -> (key: Key, above: Int) {
    let bits = 8
    var (known, prefix, above) = (Key.zero, Key.zero, 0)
    var shift = Key.bitWidth
    while shift > 0 {
      shift -= bits
      var bins = [Int](repeating: 0, count: 1 << bits)
      // The highest bit of the first digit is the sign. Flipping it puts negative keys first.
      let flip = shift + bits == Key.bitWidth ? 1 << (bits - 1) : 0
      for tensor in tensors {
        for (key, cost) in zip(tensor.keys, tensor.costs) where key & known == prefix && cost > 0 {
          bins[Int(truncatingIfNeeded: key >> Key(shift)) & 255 ^ flip] += cost
        }
      }
      // The lowest digit above which all fits; if all does, the lowest that there is.
      var digit = bins.count - 1
      while digit > 0, above + bins[digit] <= budget, bins[..<digit].contains(where: { $0 > 0 }) {
        above += bins[digit]
        digit -= 1
      }
      known |= 255 << Key(shift)
      prefix |= Key(truncatingIfNeeded: digit ^ flip) << Key(shift)
    }
    return (prefix, above)
  }
}
