// The pattern axis of a method: which weights live or die together? A unit is a set of weights that
// do. What must not live here: which units are kept (PatternSelection).

/// Which weights make a unit.
public enum Pattern: Named {
  /// Each weight is one.
  case weights
  /// A block of neighbouring output units and of neighbouring weights in each of them.
  case blocks
  /// All weights of an output unit.
  case outputs
  /// All weights that read the same input unit.
  case inputs
  /// All weights between one input unit and one output unit: the kernel of a convolution.
  case kernels
}

/// The axes of a tensor, and which of them count output and input units.
public struct Axes: Sendable, Equatable {
  /// Lengths, in the order of memory, outermost first.
  public var lengths: [Int]
  /// Positions of the axes that count output and input units.
  public var output: Int
  public var input: Int

  public init(_ lengths: [Int], output: Int, input: Int) {
    (self.lengths, self.output, self.input) = (lengths, output, input)
  }
}

/// The units of a tensor: each axis adds to the number of a weight's unit.
struct UnitMap: Sendable {
  /// An axis, or some that lie next to each other in memory and are read as one.
  private struct Level {
    let length: Int
    /// The position along the axis divided by this, times the stride, is added.
    let divisor: Int
    let stride: Int

    func unit(_ index: Int) -> Int { index / divisor * stride }
  }

  private let levels: [Level]
  /// How many units there are.
  let count: Int

  /// - Parameters:
  ///   - size: elements of the tensor. One of fewer than two axes has no units but its weights.
  ///   - block: for blocks, output units and weights in each.
  /// - Throws: `badBounds`.
  init(
    _ pattern: Pattern, _ axes: Axes, size: Int, block: (rows: Int, columns: Int), tensor: Int
  ) throws(SFError) {
    let lengths = axes.lengths
    var product = 1
    for length in lengths {
      let (next, overflow) = product.multipliedReportingOverflow(by: length)
      guard length >= 0, !overflow else { throw .badBounds(tensor: tensor, reason: "bad axes") }
      product = next
    }
    guard product == size, lengths.count < 2 || lengths.indices.contains(axes.output),
      lengths.count < 2 || lengths.indices.contains(axes.input)
    else { throw .badBounds(tensor: tensor, reason: "\(size) weights do not have such axes") }
    guard lengths.count >= 2, pattern != .weights, size > 0 else {
      self.levels = [Level(length: size, divisor: 1, stride: 1)]
      count = size
      return
    }
    guard axes.output != axes.input else {
      throw .badBounds(tensor: tensor, reason: "one axis counts both output and input units")
    }
    func levels(output: Int, input: Int) -> [Level] {
      lengths.enumerated().map { axis, length in
        let stride = axis == axes.output ? output : axis == axes.input ? input : 0
        return Level(length: length, divisor: 1, stride: stride)
      }
    }
    let (outputs, inputs) = (lengths[axes.output], lengths[axes.input])
    switch pattern {
    case .weights, .outputs:
      self.levels = levels(output: 1, input: 0)
      count = outputs
    case .inputs:
      self.levels = levels(output: 0, input: 1)
      count = inputs
    case .kernels:
      self.levels = levels(output: inputs, input: 1)
      count = outputs * inputs
    case .blocks:
      let inner = lengths[(axes.output + 1)...].reduce(1, *)
      let outer = lengths[..<axes.output].reduce(1, *)
      guard block.rows >= 1, block.columns >= 1 else {
        throw .badBounds(tensor: tensor, reason: "a block has at least one row and one column")
      }
      // A block may be larger than the tensor.
      let block = (
        rows: min(block.rows, outputs), columns: min(block.columns, outer * inner)
      )
      let columns = (outer * inner + block.columns - 1) / block.columns
      let output = Level(length: outputs, divisor: block.rows, stride: columns)
      count = (outputs + block.rows - 1) / block.rows * columns
      if outer == 1 {
        self.levels = [output, Level(length: inner, divisor: block.columns, stride: 1)]
      } else if inner == 1 {
        self.levels = [Level(length: outer, divisor: block.columns, stride: 1), output]
      } else if inner.isMultiple(of: block.columns) {
        self.levels = [
          Level(length: outer, divisor: 1, stride: inner / block.columns), output,
          Level(length: inner, divisor: block.columns, stride: 1),
        ]
      } else {
        throw .badBounds(
          tensor: tensor,
          reason: "blocks of \(block.columns) columns do not divide the \(inner) weights that lie"
            + " next to each other in an output unit")
      }
    }
  }

  /// The units of some successive weights are among these.
  func units(from start: Int, count: Int) -> Range<Int> {
    guard count > 0 else { return 0..<0 }
    let (first, last) = (indices(of: start), indices(of: start + count - 1))
    var (low, high) = (0, 0)
    var isOpen = false
    for (level, (a, b)) in zip(levels, zip(first, last)) {
      low += isOpen ? 0 : level.unit(a)
      high += level.unit(isOpen ? level.length - 1 : b)
      isOpen = isOpen || a != b
    }
    return low..<high + 1
  }

  /// Calls `body` for each run of successive weights that have one unit, in order.
  @inline(__always)
  func forEachRun(from start: Int, count: Int, _ body: (_ at: Int, _ unit: Int, Int) -> Void) {
    guard let inner = levels.last else { return }
    var (rest, index) = start.quotientAndRemainder(dividingBy: max(1, inner.length))
    var done = 0
    while done < count {
      let base = outerUnit(rest)
      let end = min(inner.length, index + count - done)
      while index < end {
        let next =
          inner.stride == 0 ? end : min(end, (index / inner.divisor + 1) * inner.divisor)
        body(done, base + inner.unit(index), next - index)
        done += next - index
        index = next
      }
      (rest, index) = (rest + 1, 0)
    }
  }

  /// What all levels but the last add to the unit.
  private func outerUnit(_ position: Int) -> Int {
    var (rest, unit) = (position, 0)
    for level in levels.dropLast().reversed() {
      let (outer, index) = rest.quotientAndRemainder(dividingBy: max(1, level.length))
      unit += level.unit(index)
      rest = outer
    }
    return unit
  }

  private func indices(of position: Int) -> [Int] {
    var rest = position
    var found: [Int] = []
    for level in levels.reversed() {
      let (outer, index) = rest.quotientAndRemainder(dividingBy: max(1, level.length))
      found.append(index)
      rest = outer
    }
    return found.reversed()
  }
}
