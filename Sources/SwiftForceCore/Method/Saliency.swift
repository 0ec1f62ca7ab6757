// The saliency axis of a method: how important is one weight? A case names a score. What must not
// live here: the loop that computes it (SwiftForceKernels), and the call of that loop (Scores).

/// A score per weight, computed from the weight, from its gradient, from both or from neither.
///
/// Scores are never negative, except given ones, and a larger score means a more important weight.
public enum Saliency: Named {
  /// `abs(w * g)`, equation (1) of the FORCE objective and SNIP's criterion: to first order, how
  /// much the loss changes when the weight is removed.
  case connectionSensitivity
  /// `g * g`, the criterion of GraSP-It.
  case squaredGradient
  /// `abs(w)`.
  case magnitude
  /// Uniform in [0, 1): the upper 24 bits of the number that the generator has, for a seed, at the
  /// weight's position among all weights.
  case random
  /// Whatever the caller computes for each step, of either sign.
  case given

  /// Whether the score is computed from the weight.
  public var readsWeights: Bool {
    switch self {
    case .connectionSensitivity, .magnitude: true
    case .squaredGradient, .random, .given: false
    }
  }
  /// Whether the score is computed from the gradient.
  public var readsGradients: Bool {
    switch self {
    case .connectionSensitivity, .squaredGradient: true
    case .magnitude, .random, .given: false
    }
  }
  /// Whether a step reads an array of the caller besides the weights: gradients, or scores.
  public var readsArrays: Bool { readsGradients || self == .given }
}
