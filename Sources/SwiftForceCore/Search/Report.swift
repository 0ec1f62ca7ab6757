// What a selection says about itself: enough to see what was kept, what it cost, and whether the
// scores decided it.

/// What one selection did. Counts are exact; sums are binary64, taken in a fixed order. Where several
/// ranks select together it is of all of them, and the same on each, but for `layerKept`.
public struct Report: Sendable, Equatable {
  /// Position in the search; 1 is the first.
  public var step = 1
  /// Weights kept.
  public var keep = 0
  /// Weights that competed.
  public var candidates = 0
  /// Weights kept before and not now.
  public var removed = 0
  /// Weights not kept before and kept now.
  public var revived = 0
  /// Candidates whose score is zero.
  public var zeroScores = 0
  /// Candidates whose score equals the threshold.
  public var atThreshold = 0
  /// How many of those are kept: the ones at the lowest positions.
  public var keptAtThreshold = 0
  /// The smallest kept score.
  public var threshold = 0.0
  /// The sum of the kept scores: the FORCE objective S(c) where the method maximises it.
  public var saliency = 0.0
  /// The sum of the scores of all candidates.
  public var totalSaliency = 0.0
  /// The Euclidean norm of all gradients; 0 where none are read.
  public var gradientNorm = 0.0
  /// How often the tensors were read: once, unless the scores are few (twice), or so many of them
  /// are oddly placed that the bracket does not settle them.
  public var readings = 0
  /// Weights kept of each tensor here.
  public var layerKept: [Int] = []

  public init() {}

  /// Weights kept with a score of zero while others with a score of zero were not: positions, not
  /// scores, chose them. Above zero, the selection is degenerate.
  public var arbitrary: Int {
    threshold == 0 && keptAtThreshold < atThreshold ? keptAtThreshold : 0
  }
}
