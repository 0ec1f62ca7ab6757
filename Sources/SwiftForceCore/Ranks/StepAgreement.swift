// What ranks compare before a step, so that all of them take the same step of the same search. What
// must not live here: how the sums travel (Ranks).

/// One rank's description of the step that it is about to take.
struct StepAgreement {
  /// Some bits of a hash of everything that must be the same on all ranks.
  let digest: Int
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

  /// So few that the sum of the squares over as many ranks as there may be fits into 63 bits.
  static let digestBits = 20

  var numbers: [Int] { [1, isWide ? 1 : 0, weights, kept, digest, digest * digest] }

  /// What a rank sends that cannot take the step: as many numbers as `numbers`.
  static let empty = [Int](repeating: 0, count: 6)
}

extension Ranks {
  /// The first sum of a step, in which the ranks check that they all take the same step.
  ///
  /// - Returns: whether scores are binary64 on any rank; all ranks then compute them so.
  /// - Throws: `rankFailed`, `ranksDiffer`, `masksChanged`; the same error on all ranks.
  func agree(on own: StepAgreement) throws(SFError) -> Bool {
    let sums = try sum(own.numbers)
    let (count, wide, weights, kept) = (sums[0], sums[1], sums[2], sums[3])
    // By the Cauchy-Schwarz inequality, n numbers are equal if and only if n times the sum of their
    // squares equals the square of their sum.
    let (digests, squares) = (UInt(sums[4]), UInt(sums[5]))
    guard UInt(count).multipliedFullWidth(by: squares) == digests.multipliedFullWidth(by: digests),
      weights == own.total
    else { throw .ranksDiffer }
    if let expected = own.expected, kept != expected {
      throw .masksChanged(kept: kept, expected: expected)
    }
    return wide > 0
  }
}
