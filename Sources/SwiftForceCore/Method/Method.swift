// The table of methods: each is a row that combines the axes. A new method is a case and a row
// here, and nothing anywhere else.

/// A named way to find a mask.
///
/// Sources: FORCE, Iterative SNIP and GraSP-It are algorithms of de Jorge et al., "Progressive
/// Skeletonization: Trimming more fat from a network at initialization", ICLR 2021; SNIP is Lee,
/// Ajanthan and Torr, ICLR 2019, and what either does in a single step.
public enum Method: Named {
  case snip
  case iterativeSnip
  case force
  case graspIt
  case magnitude
  case random

  /// How important one weight is.
  public var saliency: Saliency { row.saliency }
  /// Who competes in the next step.
  public var rule: Rule { row.rule }
  /// Whether the method looks once, so that more than one step would change nothing.
  public var isOneShot: Bool { row.isOneShot }

  private var row: (saliency: Saliency, rule: Rule, isOneShot: Bool) {
    switch self {
    case .snip: (.connectionSensitivity, .free, true)
    case .iterativeSnip: (.connectionSensitivity, .nested, false)
    case .force: (.connectionSensitivity, .free, false)
    case .graspIt: (.squaredGradient, .nested, false)
    case .magnitude: (.magnitude, .free, true)
    case .random: (.random, .free, true)
    }
  }
}
