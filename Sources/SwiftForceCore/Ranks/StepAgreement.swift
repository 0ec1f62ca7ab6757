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
  /// How many weights the previous masks must keep on all ranks; nil in the first step.
  let expected: Int?

  /// The digest travels in words of 16 bits: the sum of their squares over 2^30 ranks is what one
  /// number may be.
  private static let wordBits = 16
  private static let words = UInt64.bitWidth / wordBits

  var numbers: [Int] {
    let words = (0..<StepAgreement.words).map { word in
      Int(digest >> UInt64(word * StepAgreement.wordBits) & 0xFFFF)
    }
    return [1, isWide ? 1 : 0, weights, kept] + words + words.map { $0 * $0 }
  }

  /// What a rank sends that cannot take the step: as many numbers as `numbers`.
  static let empty = [Int](repeating: 0, count: 4 + 2 * words)

  /// Whether the digests of all ranks are equal.
  ///
  /// - Parameter sums: the sums of `numbers`.
  static func areEqual(_ sums: [Int]) -> Bool {
    // By the Cauchy-Schwarz inequality, n numbers are equal if and only if n times the sum of their
    // squares equals the square of their sum.
    (0..<words).allSatisfy { word in
      let (sum, squares) = (UInt(sums[4 + word]), UInt(sums[4 + words + word]))
      return UInt(sums[0]).multipliedFullWidth(by: squares) == sum.multipliedFullWidth(by: sum)
    }
  }
}

extension Ranks {
  /// The first sum of a step, in which the ranks check that they all take the same step.
  ///
  /// - Returns: whether scores are binary64 on any rank; all ranks then compute them so.
  /// - Throws: `rankFailed`, `ranksDiffer`, `masksChanged`; the same error on all ranks.
  func agree(on own: StepAgreement) throws(SFError) -> Bool {
    let sums = try sum(own.numbers)
    let (wide, weights, kept) = (sums[1], sums[2], sums[3])
    guard StepAgreement.areEqual(sums), weights == own.total else { throw .ranksDiffer }
    if let expected = own.expected, kept != expected {
      throw .masksChanged(kept: kept, expected: expected)
    }
    return wide > 0
  }
}
