// Copies of what a region reads. What must not live here: kept weights, and the loops over regions.

import SwiftForceCore

/// What a region reads of each channel, padding included.
///
/// Channels lie as far apart as images are large, so what a region reads of many of them falls into
/// few sets of a cache. Windows that are copied follow each other: the first-level cache then holds
/// a chunk of channels. With masks that keep much, that made layers up to a third faster.
struct SourceWindow: Sendable {
  let rows: Int
  let columns: Int
  /// From a window's first row and column to what a tap without shift reads.
  private let origin: (row: Int, column: Int)
  /// The rows and columns of the source's image.
  private let image: (rows: Int, columns: Int)

  /// - Parameters:
  ///   - height: targets of a region along an axis.
  ///   - width: likewise.
  init(rows: TapClass, columns: TapClass, height: Int, width: Int) {
    let (tall, wide) = (SourceWindow.reach(rows, height), SourceWindow.reach(columns, width))
    (self.rows, self.columns) = (tall.count, wide.count)
    origin = (-tall.lowerBound, -wide.lowerBound)
    image = (rows.sources, columns.sources)
  }

  /// The sources that targets 0 ..< length read, as if there were an image everywhere.
  private static func reach(_ side: TapClass, _ length: Int) -> Range<Int> {
    let shifts = side.taps.map { side.sourceStep * $0.shift + $0.phase }
    return (shifts.min() ?? 0)..<(shifts.max() ?? 0) + (length - 1) * side.sourceStep + 1
  }

  /// Positions of a channel.
  var size: Int { rows * columns }

  /// From the first position to what a tap reads that is shifted by so many rows and columns.
  func offset(row: Int, column: Int) -> Int {
    (origin.row + row) * columns + origin.column + column
  }

  /// Copies the windows of some channels, with zeros as padding.
  ///
  /// - Parameters:
  ///   - row: the row of the source that a tap without shift reads.
  ///   - column: likewise.
  ///   - source: the first channel of a block of 16 samples.
  func copy<Element>(
    row: Int, column: Int, _ channels: Range<Int>, of source: UnsafePointer<Element>,
    into target: Vector<Element>, _ loops: any SparseLoops<Element>.Type
  ) {
    let lanes = SparseBatch.width
    let (top, left) = (row - origin.row, column - origin.column)
    let tall = max(0, -top)..<min(rows, image.rows - top)
    let wide = max(0, -left)..<min(columns, image.columns - left)
    let first = (top + tall.lowerBound) * image.columns + left + wide.lowerBound
    let size = image.rows * image.columns
    assert(target.count >= channels.count * self.size * lanes, "too little scratch memory")
    unsafe loops.spread(
      source + (channels.lowerBound * size + first) * lanes, channels: channels.count,
      sourceStride: size * lanes, rowStride: image.columns * lanes, columnStride: lanes,
      rows: tall.count, columns: wide.count, lanes: lanes, into: target.base,
      targetStride: self.size * lanes, head: (tall.lowerBound * columns + wide.lowerBound) * lanes,
      gap: (columns - wide.count) * lanes, tail: 0)
  }
}

extension ListPlan {
  /// Elements of scratch memory of one worker.
  var windowCount: Int {
    guard copiesWindows, let regions else { return 0 }
    return min(chunk, sources) * regions.window.size * SparseBatch.width
  }

  /// Elements of a sample between two rows of a region in what `source` returns.
  var regionRowStride: Int {
    guard let regions else { return 0 }
    return copiesWindows ? points.rows.sourceStep * regions.window.columns : regions.rowStride
  }

  /// Where the loops over a region begin to read a chunk of channels.
  ///
  /// - Parameters:
  ///   - block: the source, from its first channel on.
  ///   - scratch: `windowCount` elements, for copies.
  func source<Element>(
    _ region: SparseRegions.Region, chunk number: Int, of block: UnsafePointer<Element>,
    scratch: Vector<Element>, _ loops: any SparseLoops<Element>.Type
  ) -> UnsafePointer<Element> {
    guard copiesWindows, let regions else {
      let origin = region.row * points.columns.sources + region.column
      return unsafe block + origin * SparseBatch.width
    }
    let channels = number * chunk..<min(sources, (number + 1) * chunk)
    unsafe regions.window.copy(
      row: region.row, column: region.column, channels, of: block, into: scratch, loops)
    return unsafe UnsafePointer(scratch.base)
  }
}
