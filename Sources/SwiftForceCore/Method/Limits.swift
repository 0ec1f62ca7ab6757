// All that limits which weights may be kept: floors and caps, how many weights each tensor keeps,
// which weights live or die together, and what they cost. What must not live here: how they are
// enforced (BoundedSelection, PatternSelection, BudgetSelection).

/// Floors and caps of tensors and their parts, how many weights each tensor keeps, units, and costs.
public struct Limits: Sendable {
  /// Floors and caps of each tensor; nil: there are none.
  public var bounds: [Bounds]?
  /// How many weights each tensor keeps in the end; nil: scores decide.
  public var counts: [Int]?
  /// Which weights live or die together; nil: each lives alone. Then `counts`, and the number to
  /// keep, are what the units that are kept must not exceed, unless a single one does.
  public var units: Units?
  /// What one weight of each tensor costs, at least 1; nil: numbers of weights are what is limited.
  /// Otherwise the number to keep is a budget: the best weights by score / cost are kept, as many of
  /// them as it pays for. Then nothing else is limited.
  public var costs: [Int]?
  /// If several ranks hold the weights: the tensors of all, which the numbers above are about; nil:
  /// those of the search.
  public var wholes: Wholes?

  public init(
    bounds: [Bounds]? = nil, counts: [Int]? = nil, units: Units? = nil, costs: [Int]? = nil,
    wholes: Wholes? = nil
  ) {
    (self.bounds, self.counts, self.units, self.costs) = (bounds, counts, units, costs)
    self.wholes = wholes
  }

  /// Whether anything is limited.
  var areSet: Bool { bounds != nil || counts != nil || units != nil || costs != nil }

  /// Whether a step may keep another number of weights than its schedule says.
  var mayKeepFewer: Bool { units != nil || costs != nil }

  /// Elements of each tensor that the limits are about.
  ///
  /// - Parameter own: of those of the search.
  func sizes(_ own: [Int]) -> [Int] { wholes?.sizes ?? own }

  /// All of them that ranks must have alike, as numbers.
  var numbers: [Int] {
    let bounds = bounds ?? []
    return [bounds.count, counts?.count ?? -1, costs?.count ?? -1]
      + bounds.flatMap {
        [
          $0.least, $0.most, $0.outputs, $0.inner, $0.leastPerOutput, $0.mostPerOutput, $0.group,
          $0.mostPerGroup,
        ]
      } + (counts ?? []) + (costs ?? []) + (wholes?.sizes ?? [])
  }

  /// The most that a step can be told to keep: the number of weights, or what all of them cost.
  ///
  /// - Throws: `badCount`, `sizeMismatch`, `badBounds`.
  func most(of sizes: [Int]) throws(SFError) -> Int {
    guard let costs else { return try Selection.total(sizes) }
    _ = try Selection.total(sizes)
    try Selection.checkSizes(costs.map { _ in 1 }, sizes.map { _ in 1 }, .weights)
    var most = 0
    for (tensor, (cost, size)) in zip(costs, sizes).enumerated() {
      guard cost >= 1 else {
        throw .badBounds(tensor: tensor, reason: "a weight costs at least 1, not \(cost)")
      }
      let (product, isLarge) = cost.multipliedReportingOverflow(by: size)
      guard !isLarge, product <= Keep.largestCount - most else {
        throw .badBounds(
          tensor: tensor, reason: "its weights cost too much: more than \(Keep.largestCount) in all"
        )
      }
      most += product
    }
    return most
  }

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
    guard units == nil || bounds == nil else {
      throw .badBounds(tensor: nil, reason: "floors and caps are for single weights, not for units")
    }
    if let units, units.maps.count != sizes.count {
      throw .sizeMismatch(.weights, tensor: nil, got: units.maps.count, expected: sizes.count)
    }
    if let costs {
      guard bounds == nil, counts == nil, units == nil else {
        throw .badBounds(
          tensor: nil, reason: "weights with a cost have no floors, caps, numbers or units")
      }
      _ = try most(of: sizes)
      let dearest = zip(costs, sizes).reduce(0) { $1.1 > 0 ? max($0, $1.0) : $0 }
      if let budget = keeps.min(), budget < dearest {
        throw .badBounds(
          tensor: zip(costs, sizes).enumerated()
            .first { $0.element.0 == dearest && $0.element.1 > 0 }?.offset,
          reason: "one weight costs \(dearest), and the budget is \(budget): it must pay for one")
      }
      return
    }
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

  /// Checks what is demanded of the search of one of several ranks.
  ///
  /// - Parameters:
  ///   - sizes: elements of each tensor of this rank.
  ///   - total: weights of all ranks; nil: there is one rank.
  /// - Throws: `badBounds`, `badCount`, `sizeMismatch`.
  func checkRanks(_ sizes: [Int], of total: Int?) throws(SFError) {
    guard areSet || wholes != nil else { return }
    guard let total else {
      guard wholes == nil else { throw .badCount(0) }
      return
    }
    guard let wholes else {
      throw .badBounds(tensor: nil, reason: "limits of several ranks need the tensors of all")
    }
    try wholes.check(sizes, of: total)
    guard units == nil else {
      throw .badBounds(
        tensor: nil, reason: "patterns are for one process: leave them out, or search in one")
    }
    for (tensor, size) in sizes.enumerated() {
      let whole = wholes.first + tensor
      if size > 0, size < wholes.sizes[whole], bounds?[whole].concernsUnits == true {
        throw .badBounds(
          tensor: whole,
          reason: "floors and caps of output units and groups need whole tensors on one rank, and"
            + " this rank has \(size) of \(wholes.sizes[whole]) weights")
      }
    }
  }

  /// How many weights each tensor keeps in a step, on the way to what it keeps in the end; nil: scores
  /// decide.
  ///
  /// - Parameters:
  ///   - keep: of all tensors.
  ///   - ranges: how many weights of each tensor the bounds demand and allow.
  ///   - before: how many weights of each tensor compete; nil: all.
  /// - Throws: `badBounds`.
  func counts(
    _ keep: Int, of sizes: [Int], within ranges: [ClosedRange<Int>], before: [Int]?
  ) throws(SFError) -> [Int]? {
    guard let counts else { return nil }
    var ranges = ranges
    for (tensor, count) in (before ?? []).enumerated() {
      guard count >= counts[tensor] else {
        throw .badBounds(
          tensor: tensor,
          reason: "\(counts[tensor]) weights are to be kept in the end, and \(count) are left")
      }
      ranges[tensor] =
        min(count, ranges[tensor].lowerBound)...min(count, ranges[tensor].upperBound)
    }
    return Allocation.counts(keep, towards: counts, of: sizes, within: ranges)
  }

  /// Checks that a tensor can keep as many weights as it must.
  ///
  /// - Parameters:
  ///   - forced: weights that the floors of its parts keep.
  ///   - open: weights that may be kept besides.
  /// - Throws: `badBounds`.
  static func check(
    _ tensor: Int, least: Int, most: Int, forced: Int, open: Int, of size: Int
  ) throws(SFError) {
    guard forced + open >= least, forced <= most else {
      throw .badBounds(
        tensor: tensor,
        reason: forced > most
          ? "at most \(most) weights may be kept, and the floors of its parts demand \(forced)"
          : "at least \(least) of \(size) weights must be kept, and \(forced + open) may be")
    }
  }

  /// How many open weights of all tensors are kept.
  ///
  /// - Throws: `badBounds`.
  static func rest(_ keep: Int, forced: Int, open: Int) throws(SFError) -> Int {
    guard keep >= forced, keep - forced <= open else {
      throw .badBounds(
        tensor: nil,
        reason: keep < forced
          ? "\(keep) weights are to be kept, and the floors demand \(forced)"
          : "\(keep) weights are to be kept, and \(forced + open) may be")
    }
    return keep - forced
  }

  /// Makes a selection within these limits, which were checked.
  func select(_ selection: MaskSelection) throws(SFError) -> Report {
    let isWide = selection.scores.areWide
    guard areSet else { return try selection.dispatch(wide: isWide) }
    if let costs {
      return try BudgetSelection(selection, costs: costs).dispatch(wide: isWide)
    }
    let sizes = selection.scores.sizes
    let ranges = try ranges(of: sizes)
    if let units {
      let counts = counts.map {
        Allocation.counts(selection.keep, towards: $0, of: sizes, within: ranges)
      }
      return try PatternSelection(selection: selection, units: units, counts: counts)
        .dispatch(wide: isWide)
    }
    return try BoundedSelection(selection, within: self, ranges: ranges).dispatch(wide: isWide)
  }
}
