// Copies of what a region reads. What must not live here: kept weights, and the loops over regions.

import SwiftForceCore

/// What a region reads of each channel, padding included.
///
/// Channels lie as far apart as images are large, so what a region reads of many of them falls into
/// few sets of a cache. Copied windows follow each other, and use all of it. That makes layers of
/// masks that keep much up to a third faster.
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
    let vertical = SourceWindow.reach(rows, height)
    let horizontal = SourceWindow.reach(columns, width)
    (self.rows, self.columns) = (vertical.count, horizontal.count)
    origin = (-vertical.lowerBound, -horizontal.lowerBound)
    image = (rows.sources, columns.sources)
  }

  /// The sources that targets 0 ..< length read, as if there were an image everywhere.
  private static func reach(_ side: TapClass, _ length: Int) -> Range<Int> {
    let offsets = side.taps.map(side.offset)
    return (offsets.min() ?? 0)..<(offsets.max() ?? 0) + (length - 1) * side.sourceStep + 1
  }

  /// Positions of a channel.
  var size: Int { rows * columns }

  /// From the first position to what a tap reads that is shifted by so many rows and columns.
  func offset(row: Int, column: Int) -> Int {
    (origin.row + row) * columns + origin.column + column
  }

  /// Copies the windows of some channels. What is padding there is not defined.
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
    let rowRange = max(0, -top)..<min(rows, image.rows - top)
    let columnRange = max(0, -left)..<min(columns, image.columns - left)
    let first = (top + rowRange.lowerBound) * image.columns + left + columnRange.lowerBound
    let size = image.rows * image.columns
    assert(target.count >= channels.count * self.size * lanes, "too little scratch memory")
    unsafe loops.spread(
      source + (channels.lowerBound * size + first) * lanes, channels: channels.count,
      sourceStride: size * lanes, rowStride: image.columns * lanes, columnStride: lanes,
      rows: rowRange.count, columns: columnRange.count, lanes: lanes, into: target.base,
      targetStride: self.size * lanes,
      head: (rowRange.lowerBound * columns + columnRange.lowerBound) * lanes,
      gap: (columns - columnRange.count) * lanes, tail: 0)
  }
}

extension ListPlan {
  /// Elements of scratch memory of one worker.
  var windowElements: Int {
    guard copiesWindows, let regions else { return 0 }
    return chunk * regions.window.size * SparseBatch.width
  }

  /// Elements of a sample between two rows of a region, from where `prepareSource` says.
  var regionRowStride: Int {
    let columns = copiesWindows ? regions?.window.columns : nil
    return points.rows.sourceStep * (columns ?? points.columns.sources)
  }

  /// The part of the scratch memory of all workers that belongs to one.
  func windows<Element>(of worker: Int, in scratch: Vector<Element>) -> Vector<Element> {
    scratch.part(worker * windowElements..<(worker + 1) * windowElements)
  }

  /// Copies what a region reads of a chunk of channels, if the plan says so, and returns where its
  /// loops begin to read.
  ///
  /// - Parameters:
  ///   - block: the source, from its first channel on.
  ///   - scratch: `windowElements` elements, for copies.
  func prepareSource<Element>(
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
