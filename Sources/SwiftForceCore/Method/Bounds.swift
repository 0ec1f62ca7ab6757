// Floors and caps: how many weights must and may be kept in a tensor, in each of its output units,
// and in groups of neighbours. What must not live here: how they are kept (BoundedSelection).

/// Floors and caps on the weights that are kept of one tensor.
///
/// An output unit is a row of the tensor as a matrix, and a group is a run of weights in it. Groups
/// lie in output units, those in a tensor, and tensors among all weights, so the bounds make a
/// laminar matroid: taking weights in order of their scores, unless a bound forbids it, finds the
/// masks of largest total score.
public struct Bounds: Sendable, Equatable {
  /// The fewest and the most weights of the tensor.
  public var least = 0
  public var most = Int.max
  /// How many output units there are; 0: the tensor is one.
  public var outputs = 0
  /// How many successive weights in memory belong to one output unit: those of all axes after the
  /// one that counts outputs. If that is the first axis, all weights of an output unit.
  public var inner = 1
  /// The fewest and the most weights of each output unit.
  public var leastPerOutput = 0
  public var mostPerOutput = Int.max
  /// How many successive weights of an output unit make a group, of which the last may be shorter;
  /// 0: there are none.
  public var group = 0
  /// The most weights of each group: N of the pattern N:M.
  public var mostPerGroup = Int.max

  public init() {}

  /// Whether anything is bounded below the level of tensors.
  var concernsUnits: Bool {
    leastPerOutput > 0 || mostPerOutput < Int.max || (group > 0 && mostPerGroup < group)
  }

  /// How many weights of a tensor of this size must and may be kept.
  ///
  /// - Parameter tensor: its position, for errors.
  /// - Throws: `badBounds` if no mask respects the bounds, or if they do not describe such a tensor.
  func range(of size: Int, tensor: Int) throws(SFError) -> ClosedRange<Int> {
    func refuse(_ reason: String) -> SFError { .badBounds(tensor: tensor, reason: reason) }
    let outputs = max(1, outputs)
    guard self.outputs >= 0, inner >= 1, group >= 0, size.isMultiple(of: outputs) else {
      throw refuse("\(size) weights are not \(self.outputs) output units")
    }
    let length = size / outputs
    guard outputs == 1 || length.isMultiple(of: inner) else {
      throw refuse("\(length) weights of an output unit are not runs of \(inner)")
    }
    guard least >= 0, leastPerOutput >= 0, most >= 0, mostPerOutput >= 0, mostPerGroup >= 0 else {
      throw refuse("a floor or a cap is negative")
    }
    var allowed = min(mostPerOutput, length)
    if group > 0 {
      let (groups, rest) = length.quotientAndRemainder(dividingBy: group)
      allowed = min(allowed, groups * min(group, mostPerGroup) + min(rest, mostPerGroup))
    }
    guard size == 0 || leastPerOutput <= allowed else {
      throw refuse(
        "at least \(leastPerOutput) weights of each output unit must be kept, and at most \(allowed)"
          + " of its \(length) may be")
    }
    // A tensor without weights keeps none, whatever is demanded of all.
    if size == 0 { return 0...0 }
    let mostOfAll = min(most, outputs * allowed)
    let leastOfAll = max(least, outputs * leastPerOutput)
    guard leastOfAll <= mostOfAll else {
      throw refuse(
        "at least \(leastOfAll) weights must be kept, and at most \(mostOfAll) of \(size) may be")
    }
    return leastOfAll...mostOfAll
  }
}
