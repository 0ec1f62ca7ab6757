// The kernels' loops as operations on views: sizes are taken from the views, and no pointer is seen
// above this file. What must not live here: loops.

import SwiftForceCore
import SwiftForceKernels

extension Vector where Element: Scalar {
  /// Becomes source * factor.
  func assign(_ source: [Double], scaledBy factor: Double) {
    assert(source.count == count, "vectors of different sizes")
    unsafe source.withUnsafeBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return }
      unsafe Element.scale(start, by: factor, count: count, into: base)
    }
  }

  /// Becomes the sums of the matrix's rows, or has them added to it.
  func assignRowSums(of matrix: Matrix<Element>, accumulate: Bool) {
    assert(matrix.rows == count, "a vector of another size")
    unsafe Element.sumRows(
      matrix.elements.base, rows: matrix.rows, columns: matrix.columns, accumulate: accumulate,
      into: base)
  }

  /// Becomes max(source, 0).
  func assignRectified(_ source: Vector<Element>) {
    assert(source.count == count, "vectors of different sizes")
    unsafe Element.rectify(source.base, count: count, into: base)
  }

  /// Becomes the gradient where the rectifier let its input through, and zero elsewhere.
  func assignRectifierGradient(_ gradient: Vector<Element>, output: Vector<Element>) {
    assert(gradient.count == count && output.count == count, "vectors of different sizes")
    unsafe Element.rectifierGradient(
      gradient.base, output: output.base, count: count, into: base)
  }

  /// Becomes +0 wherever the mask removes.
  func clear(whereRemovedBy mask: Vector<UInt8>) {
    assert(mask.count == count, "a mask of another size")
    unsafe Element.clear(base, whereRemoved: mask.base, count: count)
  }
}

extension Matrix where Element: Scalar {
  /// Every column becomes these values.
  func fillColumns(with values: Vector<Element>) {
    assert(values.count == rows, "a vector of another size")
    unsafe Element.spread(values.base, rows: rows, columns: columns, into: elements.base)
  }

  /// Writes the transposed matrix, row by row.
  func transpose(into target: Vector<Element>) {
    assert(target.count == elements.count, "a vector of another size")
    unsafe Element.gatherTransposed(
      elements.base, features: columns, rows: nil, count: rows, into: target.base)
  }
}
