// The axis that answers: who competes in the next step of a search?

/// Whether a removed weight may return.
public enum Rule: Named {
  /// Only the weights that the previous step kept compete: a removed weight never returns.
  case nested
  /// All weights compete in every step: a removed weight returns where its score earns it.
  case free
}
