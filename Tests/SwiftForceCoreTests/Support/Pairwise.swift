// Pairwise testing: few combinations of many choices that still contain every pair of choices. Most
// defects that depend on a combination depend on two choices. What must not live here: what is
// chosen.

/// Rows with one choice per axis, such that any two choices of different axes occur in some row.
///
/// The algorithm is greedy: of some random rows that contain a missing pair, it takes the one with
/// the most missing pairs.
///
/// - Parameter axes: how many choices each has, at least 1.
func pairwise(_ axes: [Int], seed: UInt64) -> [[Int]] {
  var generator = TestGenerator(state: seed)
  var missing: Set<Pair> = []
  for first in axes.indices {
    for second in axes.indices.dropFirst(first + 1) {
      for a in 0..<axes[first] {
        for b in 0..<axes[second] { missing.insert(Pair(first, a, second, b)) }
      }
    }
  }
  var rows: [[Int]] = []
  while let pair = missing.min() {
    let drawn = (0..<30).map { _ in
      var row = axes.map { Int.random(in: 0..<$0, using: &generator) }
      row[pair.first] = pair.a
      row[pair.second] = pair.b
      return (row, Pair.all(of: row).intersection(missing).count)
    }
    guard let best = drawn.max(by: { $0.1 < $1.1 })?.0 else { break }
    missing.subtract(Pair.all(of: best))
    rows.append(best)
  }
  return rows
}

/// Choice `a` of axis `first` and choice `b` of axis `second`.
struct Pair: Hashable, Comparable {
  let first, a, second, b: Int

  init(_ first: Int, _ a: Int, _ second: Int, _ b: Int) {
    (self.first, self.a, self.second, self.b) = (first, a, second, b)
  }

  /// The pairs of a row.
  static func all(of row: [Int]) -> Set<Pair> {
    var pairs: Set<Pair> = []
    for first in row.indices {
      for second in row.indices.dropFirst(first + 1) {
        pairs.insert(Pair(first, row[first], second, row[second]))
      }
    }
    return pairs
  }

  static func < (lhs: Pair, rhs: Pair) -> Bool {
    (lhs.first, lhs.a, lhs.second, lhs.b) < (rhs.first, rhs.a, rhs.second, rhs.b)
  }
}
