// The units of all tensors of a search, by one pattern. What must not live here: which weights make
// a unit (Pattern), and which units are kept (PatternSelection).

/// Which weights of some tensors live or die together, and how their scores make one.
public struct Units: Sendable {
  let maps: [UnitMap]
  /// Whether the score of a unit is the mean of those of its weights; else it is their sum.
  let areMeans: Bool

  /// - Parameters:
  ///   - axes: of each tensor.
  ///   - rows, columns: of blocks: output units, and weights in each.
  /// - Throws: `sizeMismatch`, `badBounds`.
  public init(
    _ pattern: Pattern, axes: [Axes], sizes: [Int], rows: Int = 1, columns: Int = 1,
    areMeans: Bool = false
  ) throws(SFError) {
    guard axes.count == sizes.count else {
      throw .sizeMismatch(.weights, tensor: nil, got: axes.count, expected: sizes.count)
    }
    var maps: [UnitMap] = []
    maps.reserveCapacity(sizes.count)
    for (tensor, size) in sizes.enumerated() {
      maps.append(
        try UnitMap(pattern, axes[tensor], size: size, block: (rows, columns), tensor: tensor))
    }
    self.maps = maps
    self.areMeans = areMeans
  }

  /// How much memory a selection among these units allocates, in bytes.
  func memory(_ chunks: [Chunk]) -> Int {
    let parts = chunks.reduce(0) {
      $0 + maps[$1.tensor].units(from: $1.start, count: $1.count).count
    }
    return 16 * parts + maps.reduce(0) { $0 + $1.count } * 40
  }

  /// The same for tensors of these sizes.
  public func memory(sizes: [Int]) -> Int { memory(Chunk.all(of: sizes)) }
}
