// The axis that answers: how important is one weight? A case names a score; the loop that computes
// it lies in SwiftForceKernels, and ScoreSource joins the two.

/// A score per weight, from the weight, the gradient of the loss at it, or neither.
///
/// All of them are at least zero, and a larger score is a more important weight.
public enum Saliency: Named {
  /// `abs(w * g)`, equation (1) of the FORCE objective and SNIP's criterion: to first order, how
  /// much the loss changes when the weight is removed.
  case connectionSensitivity
  /// `g * g`, what GraSP-It ranks by.
  case squaredGradient
  /// `abs(w)`.
  case magnitude
  /// Uniform in [0, 1) from a seed: the upper 24 bits of the generator's number at the weight's
  /// position among all weights.
  case random

  /// Whether the score is computed from the weight.
  public var readsWeights: Bool {
    switch self {
    case .connectionSensitivity, .magnitude: true
    case .squaredGradient, .random: false
    }
  }
  /// Whether the score is computed from the gradient.
  public var readsGradients: Bool {
    switch self {
    case .connectionSensitivity, .squaredGradient: true
    case .magnitude, .random: false
    }
  }
}
