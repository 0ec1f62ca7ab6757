// The kernels' loops as operations on views. Sizes come from the views, and callers of this file
// see no pointer. What must not live here: the loops themselves (SwiftForceKernels).

import SwiftForceCore
import SwiftForceKernels

extension Vector where Element: Scalar {
  /// Sets this to source * factor.
  func assign(_ source: [Double], scaledBy factor: Double) {
    assert(source.count == count, "vectors of different sizes")
    unsafe source.withUnsafeBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return }
      unsafe Element.scale(start, by: factor, count: count, into: base)
    }
  }

  /// Sets this to the sums of a gradient over each channel, or adds them.
  func assignChannelSums(of gradient: Activation<Element>, accumulate: Bool) {
    unsafe Element.sumRows(
      gradient.elements.base, rows: count, runs: gradient.runs(channels: count),
      accumulate: accumulate, into: base)
  }

  /// Sets this to first + second; may be either of them.
  func assignSum(_ first: Vector<Element>, _ second: Vector<Element>) {
    assert(first.count == count && second.count == count, "vectors of different sizes")
    unsafe Element.addArrays(first.base, second.base, count: count, into: base)
  }

  /// Packs the rows of a matrix side by side: `group` numbers for each column, zeros after `rows`.
  func packRows(_ source: Vector<Element>, rows: Int, columns: Int, group: Int) {
    assert(source.count == rows * columns && count == group * columns, "sizes")
    unsafe Element.packRows(
      source.base, rowStride: columns, rows: rows, columns: columns, group: group, into: base,
      columnStride: group)
  }

  /// Unpacks rows that lie side by side, with columns `columnStride` apart, or adds them.
  func unpackRows(
    _ source: Vector<Element>, columnStride: Int, rows: Int, columns: Int, accumulate: Bool
  ) {
    assert(count == rows * columns && source.count >= (columns - 1) * columnStride + rows, "sizes")
    unsafe Element.unpackRows(
      source.base, columnStride: columnStride, rows: rows, columns: columns,
      accumulate: accumulate, into: base, rowStride: columns)
  }

  /// Sets this to max(source, 0).
  func assignRectified(_ source: Vector<Element>) {
    assert(source.count == count, "vectors of different sizes")
    unsafe Element.rectify(source.base, count: count, into: base)
  }

  /// Sets this to the gradient where the rectifier's output is above zero, and to zero elsewhere.
  func assignRectifierGradient(_ gradient: Vector<Element>, output: Vector<Element>) {
    assert(gradient.count == count && output.count == count, "vectors of different sizes")
    unsafe Element.rectifierGradient(
      gradient.base, output: output.base, count: count, into: base)
  }

  /// The largest magnitude; NaN if there is a NaN.
  var largestMagnitude: Element { unsafe Element.largestMagnitude(base, count: count) }

  /// Sets elements that the mask removes to +0.
  func clear(whereRemovedBy mask: Vector<UInt8>) {
    assert(mask.count == count, "a mask of another size")
    unsafe Element.clear(base, whereRemoved: mask.base, count: count)
  }
}

extension Matrix where Element: Scalar {
  /// Sets every column to these values.
  func fillColumns(with values: Vector<Element>) {
    assert(values.count == rows, "a vector of another size")
    unsafe Element.broadcast(values.base, rows: rows, columns: columns, into: elements.base)
  }
}
