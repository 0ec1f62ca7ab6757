// Radix selection over positions: the position of a given rank, digit by digit from the top. What
// must not live here: how positions are counted over tensors (TiePass).

/// A search for the position of a given rank, counted from the lowest, one digit at a time.
struct PositionSelect {
  /// The first position of the range that holds the result.
  private(set) var first = 0
  /// The rank among the positions in that range.
  private var rank: Int
  private var remainingBits: Int

  private static let digitBits = 11

  /// - Parameters:
  ///   - rank: 1 for the lowest position.
  ///   - count: an upper bound; all positions are below it.
  init(rank: Int, of count: Int) {
    self.rank = rank
    remainingBits = Int.bitWidth - (count - 1).leadingZeroBitCount
  }

  var isFound: Bool { remainingBits == 0 }

  /// The end of the range; not part of it.
  var end: Int { first + 1 << remainingBits }

  /// The number of counters for the next digit.
  var bins: Int { 1 << min(PositionSelect.digitBits, remainingBits) }

  /// One counter counts 2 to the power of `shift` positions.
  var shift: Int { max(0, remainingBits - PositionSelect.digitBits) }

  /// Takes the next digit from the histogram of all positions in the range.
  ///
  /// - Returns: the digit.
  mutating func narrow(_ counts: [Int]) -> Int {
    var digit = 0
    while digit < counts.count - 1, counts[digit] < rank {
      rank -= counts[digit]
      digit += 1
    }
    first += digit << shift
    remainingBits = shift
    return digit
  }
}
