// Copies between activations and the strips of a convolution, in pieces of the samples of one
// block. What must not live here: which columns are copied, which belongs to the engine.

extension ConvolutionTiles {
  /// Copies columns of several channels. A column has one piece of `lanes` numbers for each block:
  /// target[c * channel + i * column + b * block + l] = source[c * channel + i * column + b * block
  /// + l], with the strides of either side.
  ///
  /// - Parameters:
  ///   - source: where the first copied column of the first channel begins.
  ///   - target: where the columns of the first channel begin, zeros included.
  ///   - columns: how many columns are copied.
  ///   - zeros: how many columns of zeros precede and follow them in the target, where the pieces
  ///     of a column must be adjacent.
  @unsafe public static func copy(
    _ source: UnsafePointer<Float>, strides from: (channel: Int, column: Int, block: Int),
    into target: UnsafeMutablePointer<Float>, strides to: (channel: Int, column: Int, block: Int),
    channels: Int, columns: Int, blocks: Int, lanes: Int, zeros: (before: Int, after: Int)
  ) {
    for channel in 0..<channels {
      let read = unsafe source + channel &* from.channel
      let start = unsafe target + channel &* to.channel
      let written = unsafe start + zeros.before &* to.column
      unsafe start.update(repeating: 0, count: zeros.before &* to.column)
      unsafe (written + columns &* to.column).update(
        repeating: 0, count: zeros.after &* to.column)
      if lanes == 16 {
        if blocks == 1 {
          for column in 0..<columns {
            unsafe copySixteen(read + column &* from.column, to: written + column &* to.column)
          }
          continue
        }
        for column in 0..<columns {
          let (piece, place) = unsafe (
            read + column &* from.column, written + column &* to.column
          )
          for block in 0..<blocks {
            unsafe copySixteen(piece + block &* from.block, to: place + block &* to.block)
          }
        }
      } else {
        unsafe copyFew(
          read, (from.column, from.block), written, (to.column, to.block), columns: columns,
          blocks: blocks, lanes: lanes)
      }
    }
  }

  @inline(__always)
  private static func copySixteen(
    _ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>
  ) {
    for l in stride(from: 0, to: 16, by: Lanes.scalarCount) {
      unsafe target.store(source.lanes(at: l), at: l)
    }
  }

  /// Copies pieces of any length, adjacent ones together.
  private static func copyFew(
    _ source: UnsafePointer<Float>, _ from: (column: Int, block: Int),
    _ target: UnsafeMutablePointer<Float>, _ to: (column: Int, block: Int), columns: Int,
    blocks: Int, lanes: Int
  ) {
    if blocks == 1 && from.column == lanes && to.column == lanes {
      unsafe target.update(from: source, count: columns &* lanes)
      return
    }
    for column in 0..<columns {
      for block in 0..<blocks {
        unsafe (target + column &* to.column + block &* to.block).update(
          from: source + column &* from.column + block &* from.block, count: lanes)
      }
    }
  }
}
