// The record of one selection: what was kept, what it cost, and whether the scores decided it. What
// must not live here: how the numbers are computed.

/// What one selection did.
///
/// Counts are exact. Sums are taken in a fixed order, and are off by less than one part in two million
/// of the sum of the absolute values: eight numbers of binary32 are added in binary32, and all else
/// in binary64. If several ranks select together,
/// the report covers all of them and is the same on each, except for `layerKept` of tensors that
/// are no pieces.
public struct Report: Sendable, Equatable {
  /// Position in the search; 1 is the first.
  public var step = 1
  /// Weights kept.
  public var keep = 0
  /// Weights that competed.
  public var candidates = 0
  /// Weights that the previous masks kept and the new ones do not.
  public var removed = 0
  /// Weights that the new masks keep and the previous ones did not.
  public var revived = 0
  /// Candidates whose own score of this step is zero, before momentum, factor and cost.
  public var zeroScores = 0
  /// Candidates whose score equals the threshold.
  public var atThreshold = 0
  /// How many of the candidates at the threshold are kept: those at the lowest positions.
  public var keptAtThreshold = 0
  /// Weights that floors keep although the scores of others would have kept those, and weights that
  /// caps remove although they have such a score; 0 if no score of all tensors was decisive.
  public var keptByFloors = 0
  public var removedByCaps = 0
  /// The smallest kept score.
  public var threshold = 0.0
  /// The sum of the kept scores, by which the weights competed: accumulated and multiplied by a
  /// factor, if the search is damped, and divided by the cost, if weights have one.
  public var saliency = 0.0
  /// The sum of the scores of all candidates.
  public var totalSaliency = 0.0
  /// The sum of this step's own scores over the weights that the previous masks keep, or over all
  /// weights in the first step. For the saliency `connectionSensitivity` it is the objective S(c) of
  /// FORCE at the masks that the step began with.
  public var objectiveBefore = 0.0
  /// The Euclidean norm of all gradients; 0 if none are read.
  public var gradientNorm = 0.0
  /// How many passes over the tensors the selection took: one; two if there are few scores; more if
  /// the bracket missed the threshold or too many scores lay inside it.
  public var passes = 0
  /// Weights kept in each tensor of this rank; if these are pieces, in each whole tensor.
  public var layerKept: [Int] = []

  public init() {}

  /// Weights that are kept with a score of zero although others with a score of zero are not. Their
  /// positions chose them, not their scores. If this is above zero, the selection is degenerate.
  public var arbitrary: Int {
    threshold == 0 && keptAtThreshold < atThreshold ? keptAtThreshold : 0
  }
}
