// The table of methods. Each row combines the axes, so a new method is a case and a row here. What
// must not live here: code that depends on the method by name.

/// A named way to find a mask.
///
/// Sources: FORCE, Iterative SNIP and GraSP-It are algorithms of de Jorge et al., "Progressive
/// Skeletonization: Trimming more fat from a network at initialization", ICLR 2021; SNIP is Lee,
/// Ajanthan and Torr, ICLR 2019; FORCE and Iterative SNIP in a single step are SNIP. `forceNested` is
/// of this project: plain FORCE exchanges most of its mask in each step, to the last.
public enum Method: Named {
  case snip
  case iterativeSnip
  case force
  case forceNested
  case graspIt
  case magnitude
  case random

  /// How important one weight is.
  public var saliency: Saliency { row.saliency }
  /// Which weights compete in the next step.
  public var rule: Rule { row.rule }
  /// Whether the method takes exactly one step; more steps would not change the result.
  public var isOneShot: Bool { row.isOneShot }

  private var row: (saliency: Saliency, rule: Rule, isOneShot: Bool) {
    switch self {
    case .snip: (.connectionSensitivity, .free, true)
    case .iterativeSnip: (.connectionSensitivity, .nested, false)
    case .force: (.connectionSensitivity, .free, false)
    case .forceNested: (.connectionSensitivity, .freeThenNested, false)
    case .graspIt: (.squaredGradient, .nested, false)
    case .magnitude: (.magnitude, .free, true)
    case .random: (.random, .free, true)
    }
  }
}
