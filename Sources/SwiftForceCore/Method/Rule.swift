// The rule axis of a method: which weights compete in the next step? What must not live here: how
// weights are excluded from a selection (Scores).

/// Whether a removed weight may return.
public enum Rule: Named {
  /// Only the weights that the previous step kept compete: a removed weight never returns.
  case nested
  /// All weights compete in every step: a removed weight returns if its score is high enough.
  case free
  /// All weights compete at first. From a step on, half of all unless a search says otherwise, only
  /// the weights that the previous step kept do.
  case freeThenNested

  /// The first step in which removed weights do not compete, if the rule says one.
  func nestedFrom(steps: Int) -> Int? {
    guard self == .freeThenNested else { return nil }
    return min(steps, Int((0.5 * Double(steps)).rounded(.toNearestOrEven)) + 1)
  }
}
