// Matrix products through BLAS. No other file of the package calls it. What must not live here:
// loops over elements (SwiftForceKernels).

internal import CBLAS
import SwiftForceCore
import SwiftForceKernels

/// An element type that networks can compute in: a scalar type that BLAS supports.
public protocol BLASScalar: Scalar {
  /// The inner loops of convolutions at a CPU level.
  static func tiles(at level: CPULevel) -> any TileLoops<Self>.Type

  /// C = A B + beta C for row-major matrices, with A and B transposed first if asked. If beta is
  /// zero, C is written and not read.
  ///
  /// - Parameters:
  ///   - m: rows of C.
  ///   - n: columns of C.
  ///   - k: columns of A, after it has been transposed.
  ///   - lda: distance between rows of A as stored; `ldb` and `ldc` likewise.
  static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int32, n: Int32, k: Int32,
    a: UnsafePointer<Self>, lda: Int32, b: UnsafePointer<Self>, ldb: Int32,
    beta: Self, c: UnsafeMutablePointer<Self>, ldc: Int32)
}

extension Float: BLASScalar {
  public static func tiles(at level: CPULevel) -> any TileLoops<Float>.Type { level.tiles }

  public static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int32, n: Int32, k: Int32,
    a: UnsafePointer<Float>, lda: Int32, b: UnsafePointer<Float>, ldb: Int32,
    beta: Float, c: UnsafeMutablePointer<Float>, ldc: Int32
  ) {
    unsafe cblas_sgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
      transposeB ? CblasTrans : CblasNoTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
  }
}

extension Double: BLASScalar {
  public static func tiles(at level: CPULevel) -> any TileLoops<Double>.Type {
    ReferenceTiles<Double>.self
  }

  public static func gemm(
    transposeA: Bool, transposeB: Bool, m: Int32, n: Int32, k: Int32,
    a: UnsafePointer<Double>, lda: Int32, b: UnsafePointer<Double>, ldb: Int32,
    beta: Double, c: UnsafeMutablePointer<Double>, ldc: Int32
  ) {
    unsafe cblas_dgemm(
      CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans,
      transposeB ? CblasTrans : CblasNoTrans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
  }
}

/// A factor of a product: a matrix or its transpose, without a copy.
struct Factor<Element: BLASScalar> {
  let matrix: Matrix<Element>
  let isTransposed: Bool

  var rows: Int { isTransposed ? matrix.columns : matrix.rows }
  var columns: Int { isTransposed ? matrix.rows : matrix.columns }
}

extension Matrix where Element: BLASScalar {
  var asStored: Factor<Element> { Factor(matrix: self, isTransposed: false) }
  var transposed: Factor<Element> { Factor(matrix: self, isTransposed: true) }

  /// Sets this to left * right, or adds it. No factor may share this matrix's memory.
  ///
  /// - Complexity: O(rows * columns * left.columns).
  func assignProduct(_ left: Factor<Element>, _ right: Factor<Element>, accumulate: Bool) {
    assert(left.rows == rows && right.columns == columns, "a product of another size")
    assert(left.columns == right.rows, "factors of different inner sizes")
    // Architecture limits every side to Int32.max.
    unsafe Element.gemm(
      transposeA: left.isTransposed, transposeB: right.isTransposed,
      m: Int32(rows), n: Int32(columns), k: Int32(left.columns),
      a: left.matrix.elements.base, lda: Int32(left.matrix.columns),
      b: right.matrix.elements.base, ldb: Int32(right.matrix.columns),
      beta: accumulate ? 1 : 0, c: elements.base, ldc: Int32(columns))
  }
}
