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

  /// Sets this to the sums of the matrix's rows, or adds them.
  func assignRowSums(of matrix: Matrix<Element>, accumulate: Bool) {
    assert(matrix.rows == count, "a vector of another size")
    unsafe Element.sumRows(
      matrix.elements.base, rows: matrix.rows, columns: matrix.columns, accumulate: accumulate,
      into: base)
  }

  /// Adds source * factor.
  func add(_ source: Vector<Element>, times factor: Element) {
    assert(source.count == count, "vectors of different sizes")
    unsafe Element.add(source.base, times: factor, count: count, to: base)
  }

  /// Sets this to first + second; may be either of them.
  func assignSum(_ first: Vector<Element>, _ second: Vector<Element>) {
    assert(first.count == count && second.count == count, "vectors of different sizes")
    unsafe Element.addArrays(first.base, second.base, count: count, into: base)
  }

  /// Sets this to source * factor.
  func assign(_ source: Vector<Element>, times factor: Element) {
    assert(source.count == count, "vectors of different sizes")
    unsafe Element.multiply(source.base, by: factor, count: count, into: base)
  }

  /// The sum of the products with another view's elements.
  func dot(_ other: Vector<Element>) -> Element {
    assert(other.count == count, "vectors of different sizes")
    return unsafe Element.dot(base, other.base, count: count)
  }

  /// The mean and the biased variance.
  var moments: (mean: Double, variance: Double) { unsafe Element.moments(base, count: count) }

  /// Sets this to (source - mean) * factor + shift; may be the source.
  func assignNormalized(
    _ source: Vector<Element>, mean: Element, factor: Element, shift: Element
  ) {
    assert(source.count == count, "vectors of different sizes")
    unsafe Element.normalize(
      source.base, mean: mean, factor: factor, shift: shift, count: count, into: base)
  }

  /// The sums of these gradients, and of their products with source - mean.
  func normalizationSums(
    _ source: Vector<Element>, mean: Element
  ) -> (gradients: Double, products: Double) {
    assert(source.count == count, "vectors of different sizes")
    return unsafe Element.normalizationSums(base, source.base, mean: mean, count: count)
  }

  /// Sets this to gradient * factor - ((source - mean) * slope + shift); may be the gradient.
  func assignNormalizationGradient(
    _ gradient: Vector<Element>, _ source: Vector<Element>, mean: Element, factor: Element,
    slope: Element, shift: Element
  ) {
    assert(gradient.count == count && source.count == count, "vectors of different sizes")
    unsafe Element.normalizationGradient(
      gradient.base, source.base, mean: mean, factor: factor, slope: slope, shift: shift,
      count: count, into: base)
  }

  /// Sets each element to the larger of itself and the source's; NaN where either is NaN.
  func keepMaximum(_ source: Vector<Element>) {
    assert(source.count == count, "vectors of different sizes")
    unsafe Element.keepMaximum(source.base, count: count, in: base)
  }

  /// Where the source equals the maximum, adds the remaining gradient and sets what remains to
  /// zero.
  func addGradientOfMaximum(
    _ remaining: Vector<Element>, maximum: Vector<Element>, source: Vector<Element>
  ) {
    assert(remaining.count == count && maximum.count == count && source.count == count, "sizes")
    unsafe Element.passToMaximum(
      remaining.base, maximum: maximum.base, source: source.base, count: count, to: base)
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

  /// The rows in a range.
  func rows(_ range: Range<Int>) -> Vector<Element> {
    elements.part(range.lowerBound * columns..<range.upperBound * columns)
  }

  /// Writes the transposed matrix, row by row.
  func transpose(into target: Vector<Element>) {
    assert(target.count == elements.count, "a vector of another size")
    unsafe Element.gatherTransposed(
      elements.base, features: columns, rows: nil, count: rows, into: target.base)
  }
}
