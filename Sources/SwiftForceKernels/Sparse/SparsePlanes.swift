// The inner loops of sparse products for few samples, over images whose positions are adjacent. What
// must not live here: geometry and threads, which belong to the engine.

extension SparseTiles {
  /// The longest tile that `multiplyPlane` computes, in pieces of eight elements: eight registers of
  /// sums, as more would not be faster.
  public static var planePieces: Int {
    #if SWIFTFORCE_V4
      16
    #elseif SWIFTFORCE_V3
      8
    #else
      4
    #endif
  }

  /// Computes a tile of successive elements of a plane: for each target channel, its bias plus the
  /// sum over its entries i of values[i] * source[entries[i] * unit + position]. Rows of a plane
  /// have gaps at their ends; the target's have none.
  ///
  /// A sum is divided among up to four that are added at the end, as the length of the tile says.
  ///
  /// - Parameters:
  ///   - source: the tile's first position; 8 * `pieces` elements are read behind each entry.
  ///   - starts: the first entry of each target channel, `startStride` apart, and the last one's end.
  ///   - bias: one element per target channel; nil: zeros.
  ///   - target: the row of the target that the tile begins in, of the first channel.
  ///   - rows: the target's rows from there on; elements behind them are not written.
  ///   - column: the element of the row that the tile begins at; it may be in the gap.
  @unsafe public static func multiplyPlane(
    _ source: UnsafePointer<Float>, unit: Int, entries: UnsafePointer<Int32>,
    values: UnsafePointer<Float>, starts: UnsafePointer<Int32>, startStride: Int, channels: Int,
    bias: UnsafePointer<Float>?, pieces: Int, into target: UnsafeMutablePointer<Float>,
    targetStride: Int, rows: Int, column: Int, width: Int, pitch: Int
  ) {
    let run = unsafe PlaneRun(
      source: source, unit: unit, entries: entries, values: values, starts: starts,
      startStride: startStride, channels: channels, bias: bias, target: target,
      targetStride: targetStride, rows: rows, column: column, width: width, pitch: pitch)
    switch pieces {
    case 1: run.compute(OnePiece.self)
    case 2: run.compute(TwoPieces.self)
    case 3: run.compute(ThreePieces.self)
    case 4: run.compute(FourPieces.self)
    #if SWIFTFORCE_V3 || SWIFTFORCE_V4
      case 5: run.compute(Pieces<FourPieces, OnePiece>.self)
      case 6: run.compute(Pieces<FourPieces, TwoPieces>.self)
      case 7: run.compute(Pieces<FourPieces, ThreePieces>.self)
      case 8: run.compute(EightPieces.self)
    #endif
    #if SWIFTFORCE_V4
      case 9: run.compute(Pieces<EightPieces, OnePiece>.self)
      case 10: run.compute(Pieces<EightPieces, TwoPieces>.self)
      case 11: run.compute(Pieces<EightPieces, ThreePieces>.self)
      case 12: run.compute(TwelvePieces.self)
      case 13: run.compute(Pieces<TwelvePieces, OnePiece>.self)
      case 14: run.compute(Pieces<TwelvePieces, TwoPieces>.self)
      case 15: run.compute(Pieces<TwelvePieces, ThreePieces>.self)
      case 16: run.compute(Pieces<TwelvePieces, FourPieces>.self)
    #endif
    default: preconditionFailure("no tile of \(pieces) pieces")
    }
  }

  /// Writes a plane of each of several channels: `head` zeros, rows with `gap` zeros between them,
  /// `tail` zeros.
  ///
  /// - Parameters:
  ///   - source: the first element that is copied.
  ///   - sourceStride: elements between the channels of the source.
  ///   - rowStride: elements between the rows that are copied.
  ///   - columnStride: elements between columns, which have `lanes` elements each.
  ///   - targetStride: elements between the planes.
  @unsafe public static func spread(
    _ source: UnsafePointer<Float>, channels: Int, sourceStride: Int, rowStride: Int,
    columnStride: Int, rows: Int, columns: Int, lanes: Int,
    into target: UnsafeMutablePointer<Float>, targetStride: Int, head: Int, gap: Int, tail: Int
  ) {
    for channel in 0..<channels {
      var to = unsafe target + channel &* targetStride
      unsafe clear(&to, head)
      for row in 0..<rows {
        if row > 0 { unsafe clear(&to, gap) }
        let from = unsafe source + (channel &* sourceStride &+ row &* rowStride)
        if columnStride == lanes {
          unsafe copy(from, to: to, count: columns &* lanes)
          unsafe to += columns &* lanes
          continue
        }
        for column in 0..<columns {
          for l in 0..<lanes { unsafe to[l] = from[column &* columnStride &+ l] }
          unsafe to += lanes
        }
      }
      unsafe clear(&to, tail)
    }
  }

  @inline(__always)
  private static func clear(_ target: inout UnsafeMutablePointer<Float>, _ count: Int) {
    var rest = count
    while rest >= 8 {
      unsafe OnePiece(repeating: 0).store(to: target)
      unsafe target += 8
      rest &-= 8
    }
    while rest > 0 {
      unsafe target.pointee = 0
      unsafe target += 1
      rest &-= 1
    }
  }

  /// Copies a few elements without a call.
  @inline(__always)
  fileprivate static func copy(
    _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, count: Int
  ) {
    var i = 0
    while i &+ 16 <= count {
      unsafe copy(source + i, to: target + i, as: SIMD16<Float>.self)
      i &+= 16
    }
    if count & 8 != 0 {
      unsafe copy(source + i, to: target + i, as: SIMD8<Float>.self)
      i &+= 8
    }
    if count & 4 != 0 {
      unsafe copy(source + i, to: target + i, as: SIMD4<Float>.self)
      i &+= 4
    }
    if count & 2 != 0 {
      unsafe copy(source + i, to: target + i, as: SIMD2<Float>.self)
      i &+= 2
    }
    if count & 1 != 0 { unsafe target[i] = source[i] }
  }

  @inline(__always)
  private static func copy<Piece: BitwiseCopyable>(
    _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, as: Piece.Type
  ) {
    let piece = unsafe UnsafeRawPointer(source).loadUnaligned(as: Piece.self)
    unsafe UnsafeMutableRawPointer(target).storeBytes(of: piece, as: Piece.self)
  }
}

/// The arguments of `multiplyPlane`.
@safe private struct PlaneRun {
  let source: UnsafePointer<Float>
  let unit: Int
  let entries: UnsafePointer<Int32>
  let values: UnsafePointer<Float>
  let starts: UnsafePointer<Int32>
  let startStride: Int
  let channels: Int
  let bias: UnsafePointer<Float>?
  let target: UnsafeMutablePointer<Float>
  let targetStride: Int
  let rows: Int
  let column: Int
  let width: Int
  let pitch: Int

  @inline(__always)
  func compute<Tile: PlaneTile>(_: Tile.Type) {
    unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 8 * Tile.pieces) { memory in
      guard let sums = memory.baseAddress else { return }
      for channel in 0..<channels {
        let first = unsafe Int(starts[channel &* startStride])
        let end = unsafe Int(starts[(channel &+ 1) &* startStride])
        let start = unsafe bias.map { unsafe $0[channel] } ?? 0
        let tile: Tile =
          Tile.registers <= 2
          ? inFour(first, end, start)
          : Tile.registers <= 4
            ? inTwo(first, end, start) : inOne(first, end, start)
        unsafe tile.store(to: sums)
        unsafe write(sums, 8 &* Tile.pieces, to: target + channel &* targetStride)
      }
    }
  }

  @inline(__always)
  private func add<Tile: PlaneTile>(_ i: Int, to tile: inout Tile) {
    unsafe tile.add(source + Int(entries[i]) &* unit, times: values[i])
  }

  @inline(__always)
  private func inOne<Tile: PlaneTile>(_ first: Int, _ end: Int, _ start: Float) -> Tile {
    var tile = Tile(repeating: start)
    var i = first
    while i < end {
      add(i, to: &tile)
      i &+= 1
    }
    return tile
  }

  /// Two sums in turn, so that additions wait for each other less.
  @inline(__always)
  private func inTwo<Tile: PlaneTile>(_ first: Int, _ end: Int, _ start: Float) -> Tile {
    var (tile, second) = (Tile(repeating: start), Tile(repeating: 0))
    var i = first
    while i &+ 2 <= end {
      add(i, to: &tile)
      add(i &+ 1, to: &second)
      i &+= 2
    }
    if i < end { add(i, to: &tile) }
    tile.add(second)
    return tile
  }

  @inline(__always)
  private func inFour<Tile: PlaneTile>(_ first: Int, _ end: Int, _ start: Float) -> Tile {
    var (tile, second) = (Tile(repeating: start), Tile(repeating: 0))
    var (third, fourth) = (Tile(repeating: 0), Tile(repeating: 0))
    var i = first
    while i &+ 4 <= end {
      add(i, to: &tile)
      add(i &+ 1, to: &second)
      add(i &+ 2, to: &third)
      add(i &+ 3, to: &fourth)
      i &+= 4
    }
    while i < end {
      add(i, to: &tile)
      i &+= 1
    }
    tile.add(second)
    third.add(fourth)
    tile.add(third)
    return tile
  }

  /// Writes the sums that are no gaps.
  @inline(__always)
  private func write(
    _ sums: UnsafePointer<Float>, _ count: Int, to target: UnsafeMutablePointer<Float>
  ) {
    var (at, row, column) = (0, 0, column)
    while at < count && row < rows {
      let length = min(width &- column, count &- at)
      if length > 0 {
        unsafe SparseTiles.copy(
          sums + at, to: target + (row &* width &+ column), count: length)
      }
      at &+= pitch &- column
      row &+= 1
      column = 0
    }
  }
}
