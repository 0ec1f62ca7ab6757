// The method in a few lines that sort. Selection and search are compared with it bit for bit. What
// must not live here: any call of the code under test.

import SwiftForceCore

/// A selection by a stable sort.
struct Oracle: Equatable {
  var mask: [UInt8]
  var report: Report

  /// Larger score first, then lower position; -0 equals +0.
  ///
  /// - Parameters:
  ///   - previous: the mask before this selection; nil: every weight was kept.
  ///   - nested: whether only the weights that `previous` keeps compete.
  init(
    _ scores: [Double], keep: Int, sizes: [Int], previous: [UInt8]? = nil, nested: Bool = false,
    gradients: [Double]? = nil, step: Int = 1
  ) {
    let before = previous ?? [UInt8](repeating: 1, count: scores.count)
    let candidates = scores.indices.filter { !nested || before[$0] == 1 }
    let best = Oracle.ranking(scores, candidates).prefix(keep)
    self.init(
      scores, kept: Array(best), candidates: candidates, before: before, sizes: sizes,
      gradients: gradients, step: step)
  }

  /// - Parameter kept: the weights that are kept, best first.
  init(
    _ scores: [Double], kept: [Int], candidates: [Int], before: [UInt8], sizes: [Int],
    gradients: [Double]?, step: Int
  ) {
    mask = [UInt8](repeating: 0, count: scores.count)
    for i in kept { mask[i] = 1 }
    let now = mask
    let threshold = scores[kept[kept.count - 1]]
    report = Report()
    report.step = step
    report.keep = kept.count
    report.candidates = candidates.count
    report.removed = scores.indices.count { before[$0] == 1 && now[$0] == 0 }
    report.revived = scores.indices.count { before[$0] == 0 && now[$0] == 1 }
    report.zeroScores = candidates.count { scores[$0] == 0 }
    report.atThreshold = candidates.count { scores[$0] == threshold }
    report.keptAtThreshold = kept.count { scores[$0] == threshold }
    report.threshold = threshold + 0
    // These sums are exact, so the order does not matter; see Kind.
    report.saliency = kept.reduce(0) { $0 + scores[$1] }
    report.totalSaliency = candidates.reduce(0) { $0 + scores[$1] }
    report.objectiveBefore = scores.indices.reduce(0) { $0 + (before[$1] == 1 ? scores[$1] : 0) }
    report.gradientNorm = (gradients ?? []).reduce(0) { $0 + $1 * $1 }.squareRoot()
    var start = 0
    for size in sizes {
      report.layerKept.append(now[start..<start + size].count { $0 == 1 })
      start += size
    }
  }

  /// The candidates in order, best first.
  static func ranking(_ scores: [Double], _ candidates: [Int]) -> [Int] {
    candidates.sorted { scores[$0] > scores[$1] || scores[$0] == scores[$1] && $0 < $1 }
  }

  /// How many weights are kept with a zero score although others with a zero score are not.
  static func arbitrary(_ scores: [Double], mask: [UInt8], candidates: [Int]) -> Int {
    let kept = candidates.count { scores[$0] == 0 && mask[$0] == 1 }
    return kept < candidates.count { scores[$0] == 0 } ? kept : 0
  }
}

extension Oracle {
  /// A selection among scores in binary32, which binary64 represents exactly.
  init(
    _ scores: [Float], keep: Int, sizes: [Int], previous: [UInt8]? = nil, nested: Bool = false,
    gradients: [Float]? = nil, step: Int = 1
  ) {
    self.init(
      scores.map { Double($0) }, keep: keep, sizes: sizes, previous: previous, nested: nested,
      gradients: gradients?.map { Double($0) }, step: step)
  }
}

extension Saliency {
  /// The scores by definition.
  func scores(weights: [Float], gradients: [Float]?, seed: UInt64) -> [Float] {
    weights.indices.map { i in
      switch self {
      case .connectionSensitivity: abs(weights[i] * (gradients?[i] ?? .nan))
      case .squaredGradient: (gradients?[i] ?? .nan) * (gradients?[i] ?? .nan)
      case .magnitude: abs(weights[i])
      case .random: Float(splitMix(seed, position: i) >> 40) / 16_777_216
      case .given: gradients?[i] ?? .nan
      }
    }
  }
}

/// Number `position` of SplitMix64, as its authors' C code computes it.
func splitMix(_ seed: UInt64, position: Int) -> UInt64 {
  var z = seed &+ 0x9e37_79b9_7f4a_7c15 &* UInt64(position + 1)
  z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
  z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
  return z ^ (z >> 31)
}
