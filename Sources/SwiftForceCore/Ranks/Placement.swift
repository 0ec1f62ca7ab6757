// Where the elements of a tensor lie among the weights of all ranks: one after the other, or as a
// block of a larger tensor, whose rows lie apart. What must not live here: how positions are
// counted (TiePass) and what is drawn for them (Scores).

/// Positions of the elements of a tensor among the weights of all ranks. They ascend in memory
/// order.
public struct Placement: Sendable {
  /// The position of the first element.
  public let start: Int
  /// Whether extents say how many elements there are.
  private let isBlock: Bool
  /// How many elements lie at consecutive positions.
  private let run: Int
  /// How such runs repeat, outermost first.
  private let levels: [Level]

  private struct Level {
    let extent: Int
    let stride: Int
  }

  /// A tensor whose elements lie at consecutive positions.
  public init(start: Int) {
    self.start = start
    isBlock = false
    run = .max
    levels = []
  }

  /// A block of a tensor.
  ///
  /// - Parameters:
  ///   - extents: elements along each dimension of the block, outermost first.
  ///   - strides: how far the positions of neighbours along each dimension lie apart.
  public init(start: Int, extents: [Int], strides: [Int]) {
    var levels = zip(extents, strides).map { Level(extent: $0, stride: $1) }
    self.start = start
    isBlock = true
    if let last = levels.last, last.stride == 1 {
      run = last.extent
      levels.removeLast()
    } else {
      run = 1
    }
    self.levels = levels
  }

  /// The position of an element.
  ///
  /// - Parameter element: its index in memory order.
  func position(of element: Int) -> Int {
    if levels.isEmpty { return start + element }
    var (rest, position) = element.quotientAndRemainder(dividingBy: run)
    for level in levels.reversed() {
      let (outer, index) = rest.quotientAndRemainder(dividingBy: level.extent)
      position += index * level.stride
      rest = outer
    }
    return start + position
  }

  /// Calls `body` for each run of consecutive positions among some elements, in order.
  ///
  /// - Parameters:
  ///   - first: the index of the first element.
  ///   - body: receives the index of a run's first element relative to `first`, its position, and
  ///     the length of the run.
  @inline(__always)
  func forEachRun(from first: Int, count: Int, _ body: (_ at: Int, _ position: Int, Int) -> Void) {
    var done = 0
    while done < count {
      let left = levels.isEmpty ? count : run - (first + done) % run
      let length = min(left, count - done)
      body(done, position(of: first + done), length)
      done += length
    }
  }

  /// The position after the last element of a tensor; nil if positions do not ascend, are above
  /// `total`, or are not those of `size` elements.
  func end(_ size: Int, of total: Int) -> Int? {
    guard start >= 0, start <= total else { return nil }
    guard isBlock else { return size <= total - start ? start + size : nil }
    guard run >= 0, run <= total else { return nil }
    var (elements, span) = (run, run)
    for level in levels.reversed() {
      guard level.extent >= 0, level.stride >= span || level.extent <= 1 else { return nil }
      let (product, isLarge) = elements.multipliedReportingOverflow(by: level.extent)
      let (reach, isFar) = level.stride.multipliedReportingOverflow(by: max(0, level.extent - 1))
      guard !isLarge, !isFar, reach >= 0, reach <= total - span else { return nil }
      (elements, span) = (product, span + reach)
    }
    guard elements == size else { return nil }
    if size == 0 { return start }
    return span <= total - start ? start + span : nil
  }
}
