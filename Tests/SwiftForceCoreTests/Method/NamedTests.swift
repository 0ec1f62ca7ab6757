// The names that every enumeration publishes.

import SwiftForceCore
import Testing

private enum Example: Named {
  case plain
  case twoWords
  case manyMoreWords
  case endsInX
}

@Suite struct NamesTests {
  @Test func aNameIsTheCaseInLowerSnake() {
    #expect(Example.names == ["plain", "two_words", "many_more_words", "ends_in_x"])
    #expect(Example.twoWords.name == "two_words")
  }

  /// These names are public: a change here changes what users write.
  @Test func publishedNames() {
    #expect(
      Saliency.names == [
        "connection_sensitivity", "squared_gradient", "magnitude", "random", "given",
      ])
    #expect(Schedule.names == ["exponential", "linear", "cubic", "cosine"])
    #expect(Rule.names == ["nested", "free", "free_then_nested"])
    #expect(
      Method.names == [
        "snip", "iterative_snip", "force", "force_nested", "grasp_it", "magnitude", "random",
      ])
  }

  @Test(arguments: [Saliency.names, Schedule.names, Rule.names, Method.names])
  func namesAreUniqueWords(names: [String]) {
    #expect(Set(names).count == names.count)
    for name in names {
      #expect(name.wholeMatch(of: /[a-z]+(_[a-z]+)*/) != nil, "\(name)")
    }
  }
}
