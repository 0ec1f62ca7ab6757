// The one function that turns a Swift case name into the name that Python, the command line and
// error messages use.

/// An axis of the method whose cases are published by name.
public protocol Named: CaseIterable, Sendable {}

extension Named {
  /// The case's own name in lower_snake: `iterativeSnip` is `iterative_snip`.
  public var name: String {
    var words = ""
    for character in String(describing: self) {
      if character.isUppercase { words.append("_") }
      words.append(contentsOf: character.lowercased())
    }
    return words
  }

  /// The names of all cases, in the order of their numbers.
  public static var names: [String] { allCases.map(\.name) }
}
