// What ranks compare before a step, so that all of them take the same step of the same search. What
// must not live here: how the sums travel (Ranks).

/// One rank's description of the step that it is about to take.
struct StepAgreement {
  /// A hash of everything that must be the same on all ranks.
  let digest: UInt64
  /// Weights of all ranks.
  let total: Int
  /// Weights of this rank.
  let weights: Int
  /// Whether the scores of this rank are binary64.
  let isWide: Bool
  /// How many weights the previous masks keep on this rank.
  let kept: Int
  /// How many weights the previous masks must keep on all ranks; nil if unknown.
  let expected: Int?

  /// The digest travels in words of 16 bits: the sum of their squares over 2^30 ranks is what one
  /// number may be.
  private static let wordBits = 16
  private static let words = UInt64.bitWidth / wordBits

  var numbers: [Int] {
    [1, isWide ? 1 : 0, weights, kept] + StepAgreement.words(of: digest)
  }

  /// What of a digest is summed: its words and their squares.
  fileprivate static func words(of digest: UInt64) -> [Int] {
    let words = (0..<words).map { word in Int(digest >> UInt64(word * wordBits) & 0xFFFF) }
    return words + words.map { $0 * $0 }
  }

  /// What a rank sends that cannot take the step: as many numbers as `numbers`.
  static let empty = [Int](repeating: 0, count: 4 + 2 * words)

  /// Whether the digests of all ranks are equal.
  ///
  /// - Parameter sums: of what `words(of:)` returns.
  fileprivate static func areEqual(_ sums: some Collection<Int>, ranks: Int) -> Bool {
    // By the Cauchy-Schwarz inequality, n numbers are equal if and only if n times the sum of their
    // squares equals the square of their sum.
    zip(sums.prefix(words), sums.suffix(words)).allSatisfy { sum, squares in
      UInt(ranks).multipliedFullWidth(by: UInt(squares))
        == UInt(sum).multipliedFullWidth(by: UInt(sum))
    }
  }
}

extension Ranks {
  /// The first sum of a step, in which the ranks check that they all take the same step.
  ///
  /// - Returns: whether scores are binary64 on any rank; all ranks then compute them so. And how many
  ///   weights the previous masks keep on all ranks.
  /// - Throws: `rankFailed`, `ranksDiffer`, `masksChanged`; the same error on all ranks.
  func agree(on own: StepAgreement) throws(SFError) -> (isWide: Bool, kept: Int) {
    let sums = try sum(own.numbers)
    let (wide, weights, kept) = (sums[1], sums[2], sums[3])
    guard StepAgreement.areEqual(sums.dropFirst(4), ranks: sums[0]), weights == own.total else {
      throw .ranksDiffer
    }
    if let expected = own.expected, kept != expected {
      throw .masksChanged(kept: kept, expected: expected)
    }
    return (wide > 0, kept)
  }

  /// Checks that all ranks have computed the same numbers: their logarithms may differ in a last bit.
  ///
  /// - Throws: `ranksDiffer`; what `sum` throws.
  func checkEqual(_ numbers: [Int]) throws(SFError) {
    let digest = Generator.hash(numbers, seed: 0)
    let sums = try sum([1] + StepAgreement.words(of: digest))
    guard StepAgreement.areEqual(sums.dropFirst(), ranks: sums[0]) else { throw .ranksDiffer }
  }
}
