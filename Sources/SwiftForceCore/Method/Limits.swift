// All that limits how the weights that are kept are shared out: floors and caps, and how many weights
// each tensor keeps. What must not live here: how they are enforced (BoundedSelection).

/// Floors and caps of tensors and their parts, and how many weights each tensor keeps.
public struct Limits: Sendable, Equatable {
  /// Floors and caps of each tensor; nil: there are none.
  public var bounds: [Bounds]?
  /// How many weights each tensor keeps in the end; nil: scores decide.
  public var counts: [Int]?

  public init(bounds: [Bounds]? = nil, counts: [Int]? = nil) {
    (self.bounds, self.counts) = (bounds, counts)
  }

  /// Whether anything is limited.
  var areSet: Bool { bounds != nil || counts != nil }

  /// How many weights of each tensor must and may be kept, by the floors and caps.
  ///
  /// - Throws: `badCount`, `sizeMismatch`, `badBounds`.
  public func ranges(of sizes: [Int]) throws(SFError) -> [ClosedRange<Int>] {
    _ = try Selection.sum(sizes)
    guard let bounds else { return sizes.map { 0...$0 } }
    guard bounds.count == sizes.count else {
      throw .sizeMismatch(.weights, tensor: nil, got: bounds.count, expected: sizes.count)
    }
    var ranges: [ClosedRange<Int>] = []
    ranges.reserveCapacity(sizes.count)
    for (tensor, size) in sizes.enumerated() {
      ranges.append(try bounds[tensor].range(of: size, tensor: tensor))
    }
    return ranges
  }

  /// Checks that every step can keep as many weights as it is to.
  ///
  /// - Throws: `sizeMismatch`, `badBounds`.
  func check(_ keeps: [Int], of sizes: [Int]) throws(SFError) {
    guard areSet else { return }
    let ranges = try ranges(of: sizes)
    for keep in keeps { try Limits.check(keep, within: ranges) }
    guard let counts else { return }
    guard counts.count == ranges.count else {
      throw .sizeMismatch(.weights, tensor: nil, got: counts.count, expected: ranges.count)
    }
    for (tensor, (count, range)) in zip(counts, ranges).enumerated()
    where !range.contains(count) {
      throw .badBounds(
        tensor: tensor,
        reason: "\(count) weights are to be kept, and the number must be in"
          + " \(range.lowerBound) ... \(range.upperBound)")
    }
    let sum = counts.reduce(0) { $0 &+ $1 }
    guard let last = keeps.last, sum == last else {
      throw .badBounds(
        tensor: nil,
        reason: "\(keeps.last ?? 0) weights are to be kept, and those of all tensors are \(sum)")
    }
  }

  /// Checks that a number of weights can be kept within bounds.
  ///
  /// - Throws: `badBounds`.
  static func check(_ keep: Int, within ranges: [ClosedRange<Int>]) throws(SFError) {
    let least = ranges.reduce(0) { $0 + $1.lowerBound }
    let most = ranges.reduce(0) { $0 + $1.upperBound }
    guard keep >= least, keep <= most else {
      throw .badBounds(
        tensor: nil,
        reason: keep < least
          ? "\(keep) weights are to be kept, and the floors demand \(least)"
          : "\(keep) weights are to be kept, and the caps allow \(most)")
    }
  }

  /// Makes a selection within these limits, which were checked.
  func select(_ selection: MaskSelection) throws(SFError) -> Report {
    let isWide = selection.scores.areWide
    guard areSet else { return try selection.dispatch(wide: isWide) }
    let sizes = selection.scores.sizes
    let ranges = try ranges(of: sizes)
    let bounded = BoundedSelection(
      selection: selection, bounds: bounds ?? sizes.map { _ in Bounds() },
      counts: counts.map {
        Allocation.counts(selection.keep, towards: $0, of: sizes, within: ranges)
      })
    return try bounded.dispatch(wide: isWide)
  }
}
