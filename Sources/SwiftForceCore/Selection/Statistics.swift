// Counts and sums over a chunk, for the report and for the checks of a search. What must not live
// here: the loops that compute them (SwiftForceKernels).

/// Counts and sums over one chunk, or over all chunks if they are added in order.
struct Statistics: Sendable {
  /// Whether all scores are finite.
  var isFinite = true
  /// How many scores are zero.
  var zeros = 0
  /// The sum of all scores.
  var scores = 0.0
  /// The sum of the squared gradients.
  var squares = 0.0
  /// Weights that the new mask keeps.
  var kept = 0
  /// Changes since the previous mask; not counted in a first step.
  var removed = 0
  var revived = 0
  /// The sum of the kept scores.
  var saliency = 0.0
  /// The sum of this step's own scores over the weights that the previous masks keep.
  var objective = 0.0

  static func += (total: inout Statistics, part: Statistics) {
    total.isFinite = total.isFinite && part.isFinite
    total.zeros += part.zeros
    total.scores += part.scores
    total.squares += part.squares
    total.kept += part.kept
    total.removed += part.removed
    total.revived += part.revived
    total.saliency += part.saliency
    total.objective += part.objective
  }

  static func += (total: inout Statistics, part: BlockStatistics) {
    total.isFinite = total.isFinite && part.isFinite
    total.zeros += part.zeros
    total.scores += part.scores
    total.squares += part.squares
    total.kept += part.above
    total.saliency += part.saliency
  }
}
