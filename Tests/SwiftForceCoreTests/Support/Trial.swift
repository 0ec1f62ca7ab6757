// One selection with everything that can vary: the source of the scores, their kind and types, the
// previous mask, the sizes of the tensors, CPU level and threads. What must not live here: which
// combinations are tried.

@testable import SwiftForceCore

/// The source of scores.
enum Source: CaseIterable {
  case given, products, productsWithTies, squares, magnitudes, random

  var saliency: Saliency? {
    switch self {
    case .given: nil
    case .products, .productsWithTies: .connectionSensitivity
    case .squares: .squaredGradient
    case .magnitudes: .magnitude
    case .random: .random
    }
  }
}

/// Which weights compete, and whether there is a previous mask.
enum PreviousMask: CaseIterable {
  case nothing, free, nested
}

/// The parameters of one selection.
struct Trial {
  var count: Int
  var kind = Kind.random
  var source = Source.given
  var weightType = ElementType.float32
  var gradientType = ElementType.float32
  var before = PreviousMask.nothing
  /// Index into `keeps(of:)`.
  var keep = 0
  /// Index of the way in which the weights are split into tensors.
  var split = 0
  var writesMasked = false
  var level = CPULevel.v2
  var threads = 1

  static let splitCount = 6

  /// The numbers of weights to keep that are tried: both ends, the middle, and few of `count`.
  static func keeps(of count: Int) -> [Int] {
    [1, 2, count / 2, count - 1, count, count / 50].map { max(1, min(count, $0)) }
  }

  var sizes: [Int] {
    let ways = splits(of: count)
    return split < ways.count
      ? ways[split]
      : (0..<300).map { (count * ($0 + 1)) / 300 - (count * $0) / 300 }
  }

  /// The weights, or the given scores.
  func weights() -> Stored { Stored(weightType, kind.values(count, for: weightType)) }

  /// The gradients. They have few bits, so that sums of products and squares are exact in binary64.
  func gradients() -> Stored {
    var generator = TestGenerator(state: UInt64(count) &+ 99)
    let powers: [Double] = [0.5, -1, 1, 2, -2, 0.25]
    let numbers = (0..<count).map { i in
      switch source {
      case .squares where kind == .fewValues: Double(Int.random(in: -2...2, using: &generator))
      case .squares: Double(Int.random(in: -2047...2047, using: &generator)) * 0x1p-8
      case .productsWithTies: i % 7 == 0 ? 0.0 : -1
      default: powers[Int.random(in: 0..<6, using: &generator)]
      }
    }
    return Stored(gradientType, numbers)
  }

  /// The previous mask, which keeps about half of the weights, in runs and singly.
  func previous() -> [UInt8]? {
    guard before != .nothing else { return nil }
    var generator = TestGenerator(state: UInt64(count) &+ 5)
    var mask = (0..<count).map { i -> UInt8 in
      switch i / 100 % 4 {
      case 0: 1
      case 1: 0
      default: UInt8.random(in: 0...1, using: &generator)
      }
    }
    mask[count / 2] = 1
    return mask
  }

  /// The scores by definition: in binary32, or in binary64 if an array that is read holds it.
  func scores(_ weights: Stored, _ gradients: Stored) -> [Double] {
    let (w, g) = (weights.values, gradients.values)
    func inBinary32(_ types: [ElementType]) -> Bool { !types.contains(.float64) }
    switch source {
    case .given: return w.map { $0 + 0 }
    case .magnitudes: return w.map(\.magnitude)
    case .random:
      return (0..<count).map { Double(splitMix(Trial.seed, position: $0) >> 40) / 16_777_216 }
    case .squares:
      return inBinary32([gradientType])
        ? g.map { Double(Float($0) * Float($0)) } : g.map { $0 * $0 }
    case .products, .productsWithTies:
      return inBinary32([weightType, gradientType])
        ? zip(w, g).map { Double((Float($0) * Float($1)).magnitude) }
        : zip(w, g).map { ($0 * $1).magnitude }
    }
  }

  static let seed: UInt64 = 77
}

/// What a selection wrote and reported, or should have.
struct Outcome: Equatable {
  var masks: [UInt8]
  /// The bits of the masked weights; nil if none were requested.
  var masked: [UInt64]?
  var report: Report
  var isIntact = true
}

extension Trial {
  /// The arrays of a trial, and how many weights it keeps.
  struct Inputs {
    var weights: Stored
    var gradients: Stored
    var previous: [UInt8]?
    var keep: Int
  }

  var inputs: Inputs {
    let previous = previous()
    let most = before == .nested ? previous?.count { $0 == 1 } : nil
    return Inputs(
      weights: weights(), gradients: gradients(), previous: previous,
      keep: Trial.keeps(of: most ?? count)[keep])
  }

  /// Runs the selection.
  ///
  /// - Throws: what the selection throws; `UnexpectedChange` if it also changed what it must not.
  func outcome(_ inputs: Inputs) throws -> Outcome {
    let (sizes, weights, gradients) = (sizes, inputs.weights, inputs.gradients)
    let previous = inputs.previous.map { Memory($0, guardedBy: 99) }
    let masks = Memory<UInt8>(masksOf: count)
    let masked = writesMasked ? Stored(weightType, bits: shown(inputs)) : nil
    var areGuarded: Bool {
      previous?.values == inputs.previous && previous?.isIntact != false && weights.isIntact
        && masks.isIntact && masked?.isIntact != false
    }
    do {
      let report = try withExtendedLifetime((weights, gradients, previous, masks, masked)) {
        let before = previous?.masks(sizes)
        return try Selection.select(
          from: try source(weights.tensors(sizes), gradients.tensors(sizes), before),
          keep: inputs.keep, masks: masks.masks(sizes),
          previous: before.map { ($0, inputs.previous?.count { $0 == 1 } ?? 0) },
          applying: masked.map { (weights.tensors(sizes), $0.mutableTensors(sizes)) },
          level: level, threads: threads)
      }
      return Outcome(
        masks: masks.values, masked: masked?.bits, report: report, isIntact: areGuarded)
    } catch {
      // In a first step the masked weights are unspecified after an error.
      let isKept = previous == nil || masked?.bits == masked.map { _ in shown(inputs) }
      guard areGuarded, isKept else { throw UnexpectedChange(cause: error) }
      throw error
    }
  }

  /// A selection failed and changed memory that it must not change.
  struct UnexpectedChange: Error {
    let cause: any Error
  }

  private func source(
    _ weights: [Tensor], _ gradients: [Tensor], _ before: [Mask]?
  ) throws(SFError) -> Scores {
    guard let saliency = source.saliency else { return Scores(given: weights) }
    return try Scores(
      saliency, weights: weights, gradients: gradients,
      previous: before, competition: self.before == .nested ? .survivors : .all, seed: Trial.seed)
  }

  /// The outcome according to the oracle.
  func expected(_ inputs: Inputs, passes: Int) -> Outcome {
    let scores = scores(inputs.weights, inputs.gradients)
    let oracle = Oracle(
      scores, keep: inputs.keep, sizes: sizes, previous: inputs.previous,
      nested: before == .nested,
      gradients: source.saliency?.readsGradients == true ? inputs.gradients.values : nil)
    var report = oracle.report
    // The number of passes is not part of the result.
    report.passes = passes
    // No step selects among given scores, and only steps have an objective.
    if source == .given && inputs.previous != nil { report.objectiveBefore = 0 }
    let bits = inputs.weights.bits
    let masked = zip(bits, oracle.mask).map { $1 == 1 ? $0 : 0 }
    return Outcome(
      masks: oracle.mask, masked: writesMasked ? masked : nil, report: report)
  }

  /// The masked weights before the selection: those of the previous mask, or arbitrary bits.
  private func shown(_ inputs: Inputs) -> [UInt64] {
    guard let previous = inputs.previous else {
      return [UInt64](repeating: 0x5A5A, count: count)
    }
    return zip(inputs.weights.bits, previous).map { $1 == 1 ? $0 : 0 }
  }
}
