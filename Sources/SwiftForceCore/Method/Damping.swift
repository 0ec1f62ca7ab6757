// The damping axis of a search of several steps: how much of the mask may change from one step to
// the next? What must not live here: how scores are accumulated and multiplied (Scores), and where
// they are stored, which is up to the caller.

/// What keeps a search from replacing most of its mask in each step.
///
/// With s the scores of step t, a' the accumulated scores after the step before (0 at first), and c'
/// the masks of the step before, weights compete in step t by
///
///     a = momentum * a' + s,        removedFactor * a  for the weights that c' removes
///
/// and from step `nestedFrom` on only the weights that c' keeps compete. Every product and every sum
/// is rounded to the type of scores, in which the two factors are, too.
public struct Damping: Sendable, Equatable {
  /// The factor of the accumulated scores, in [0, 1), also in binary32; 0: a step knows its own
  /// scores alone.
  public var momentum: Double
  /// The factor of the scores of removed weights, in [0, 1], and 0 or 1 in binary32 only if it is.
  /// 0: removed weights do not compete.
  public var removedFactor: Double
  /// The first step in which removed weights do not compete; nil: there is none, unless the rule of
  /// the method or the factor says so.
  public var nestedFrom: Int?

  public init(momentum: Double = 0, removedFactor: Double = 1, nestedFrom: Int? = nil) {
    self.momentum = momentum
    self.removedFactor = removedFactor
    self.nestedFrom = nestedFrom
  }

  /// Whether scores are accumulated over the steps.
  public var accumulates: Bool { momentum > 0 }

  /// These settings for a search, with the step of the method's rule where none is given.
  ///
  /// - Throws: `badSetting`.
  func checked(
    _ saliency: Saliency, _ rule: Rule, isOneShot: Bool, steps: Int
  ) throws(SFError) -> Damping {
    try check(saliency, rule, isOneShot, steps)
    var damping = self
    damping.nestedFrom = nestedFrom ?? rule.nestedFrom(steps: steps)
    return damping
  }

  private func check(
    _ saliency: Saliency, _ rule: Rule, _ isOneShot: Bool, _ steps: Int
  ) throws(SFError) {
    func refuse(_ name: String, _ value: Double, _ expected: String) -> SFError {
      .badSetting(name: name, value: value, expected: expected)
    }
    guard momentum >= 0, momentum < 1 else { throw refuse("momentum", momentum, "in [0, 1)") }
    guard Damping.isKept(momentum) else { throw refuse("momentum", momentum, Damping.kept) }
    guard momentum == 0 || !isOneShot else {
      throw refuse("momentum", momentum, "0 for a method of one step")
    }
    guard removedFactor >= 0, removedFactor <= 1 else {
      throw refuse("removed_factor", removedFactor, "in [0, 1]")
    }
    guard Damping.isKept(removedFactor) else {
      throw refuse("removed_factor", removedFactor, Damping.kept)
    }
    // Sums and products of negative numbers would not rank weights as these do.
    guard saliency != .given || momentum == 0 else {
      throw refuse("momentum", momentum, "0 for given scores")
    }
    guard saliency != .given || removedFactor == 0 || removedFactor == 1 else {
      throw refuse("removed_factor", removedFactor, "0 or 1 for given scores")
    }
    let isFree = rule != .nested && !isOneShot
    guard removedFactor == 1 || isFree else {
      throw refuse("removed_factor", removedFactor, "1 for a method whose removed weights stay so")
    }
    guard let nestedFrom else { return }
    let step = Double(nestedFrom)
    guard isFree else {
      throw refuse("nested_from", step, "left out for a method whose removed weights stay so")
    }
    guard nestedFrom >= 1, nestedFrom <= steps else {
      throw refuse("nested_from", step, "in 1 ... \(steps), the steps of the search")
    }
  }

  /// Whether a factor in [0, 1] is 0 or 1 in binary32, in which most scores are, only if it is so.
  private static func isKept(_ factor: Double) -> Bool {
    let rounded = Float(factor)
    return (rounded > 0 && rounded < 1) || Double(rounded) == factor
  }

  private static let kept =
    "a number that does not become 0 or 1 in float32 (round it to 7 decimals)"

  /// Which weights compete in a step, by settings that were `checked`.
  func competition(_ rule: Rule, step: Int) -> Competition {
    if rule == .nested || removedFactor == 0 { return .survivors }
    if let nestedFrom, step >= nestedFrom { return .survivors }
    return removedFactor < 1 ? .discounted(removedFactor) : .all
  }
}

/// Which weights compete in one step.
enum Competition: Equatable {
  case all
  /// Those that the previous masks keep.
  case survivors
  /// All; the scores of those that the previous masks remove are multiplied.
  case discounted(Double)
}
