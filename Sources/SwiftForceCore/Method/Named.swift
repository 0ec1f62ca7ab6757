// The one function that derives the name used by Python, the command line and error messages from
// the name of a Swift case. What must not live here: any table of names.

/// An enumeration whose cases are published by name.
public protocol Named: CaseIterable, Sendable {}

extension Named {
  /// The name of the case in lower_snake: `iterativeSnip` becomes `iterative_snip`.
  public var name: String {
    var words = ""
    for character in String(describing: self) {
      if character.isUppercase { words.append("_") }
      words.append(contentsOf: character.lowercased())
    }
    return words
  }

  /// The names of all cases, in the order of declaration, which is the order of their numbers in C.
  public static var names: [String] { allCases.map(\.name) }
}
