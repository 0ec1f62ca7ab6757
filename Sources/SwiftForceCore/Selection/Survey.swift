// What is counted and summed of a chunk, for the report and for the checks of a search.

/// Figures of one chunk, or of all when they are added in the order of the chunks.
struct Survey: Sendable {
  var isFinite = true
  var zeros = 0
  var scores = 0.0
  var squares = 0.0
  /// Of the new mask.
  var kept = 0
  /// Since the previous mask; not counted at a first step.
  var removed = 0
  var revived = 0
  /// The sum of the kept scores.
  var saliency = 0.0

  static func += (total: inout Survey, part: Survey) {
    total.isFinite = total.isFinite && part.isFinite
    total.zeros += part.zeros
    total.scores += part.scores
    total.squares += part.squares
    total.kept += part.kept
    total.removed += part.removed
    total.revived += part.revived
    total.saliency += part.saliency
  }

  static func += (total: inout Survey, part: BlockSurvey) {
    total.isFinite = total.isFinite && part.isFinite
    total.zeros += part.zeros
    total.scores += part.scores
    total.squares += part.squares
    total.kept += part.above
    total.saliency += part.saliency
  }
}
