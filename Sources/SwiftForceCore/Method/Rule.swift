// The rule axis of a method: which weights compete in the next step? What must not live here: how
// weights are excluded from a selection (Scores).

/// Whether a removed weight may return.
public enum Rule: Named {
  /// Only the weights that the previous step kept compete: a removed weight never returns.
  case nested
  /// All weights compete in every step: a removed weight returns if its score is high enough.
  case free
}
