// Matrix products through BLAS, tile by tile. What must not live here: loops over elements
// (SwiftForceKernels), and when BLAS may be called (LibraryCalls).

internal import CBLAS
import SwiftForceCore
import SwiftForceKernels

/// An element type that networks can compute in: a scalar type that BLAS supports.
public protocol BLASScalar: Scalar {
  /// The inner loops of convolutions at a CPU level.
  static func tiles(at level: CPULevel) -> any TileLoops<Self>.Type

  /// The inner loops of sparse layers at a CPU level.
  static func sparseLoops(at level: CPULevel) -> any SparseLoops<Self>.Type

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

  public static func sparseLoops(at level: CPULevel) -> any SparseLoops<Float>.Type {
    level.sparseLoops
  }

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

  public static func sparseLoops(at level: CPULevel) -> any SparseLoops<Double>.Type {
    ReferenceSparseTiles<Double>.self
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
  /// Each tile is one product of BLAS. Tiles depend on the sizes alone, so the result does not
  /// depend on the number of threads.
  ///
  /// - Complexity: O(rows * columns * left.columns).
  func assignProduct(
    _ left: Factor<Element>, _ right: Factor<Element>, accumulate: Bool, team: Team
  ) {
    assert(left.rows == rows && right.columns == columns, "a product of another size")
    assert(left.columns == right.rows, "factors of different inner sizes")
    let tiles = ProductTiles(rows: rows, columns: columns, inner: left.columns)
    let (lda, ldb) = (left.matrix.columns, right.matrix.columns)
    LibraryCalls.forEach(tiles.count, team) { number in
      let (rows, columns) = tiles[number]
      let a = rows.lowerBound * (left.isTransposed ? 1 : lda)
      let b = columns.lowerBound * (right.isTransposed ? ldb : 1)
      // Architecture limits every side to Int32.max.
      unsafe Element.gemm(
        transposeA: left.isTransposed, transposeB: right.isTransposed,
        m: Int32(rows.count), n: Int32(columns.count), k: Int32(left.columns),
        a: left.matrix.elements.base + a, lda: Int32(lda),
        b: right.matrix.elements.base + b, ldb: Int32(ldb), beta: accumulate ? 1 : 0,
        c: elements.base + (rows.lowerBound * self.columns + columns.lowerBound),
        ldc: Int32(self.columns))
    }
  }
}

/// The division of a product among threads.
struct ProductTiles {
  private let rows: Int
  private let columns: Int
  private let tileRows: Int
  private let tileColumns: Int

  /// Rows and columns of a tile: so many that copying its factors, as BLAS does, costs little.
  private static let side = 128
  /// Fewer multiplications are not worth a call of their own.
  private static let leastWork = 1 << 20

  init(rows: Int, columns: Int, inner: Int) {
    self.rows = rows
    self.columns = columns
    func length(_ side: Int, across: Int) -> Int {
      ProductTiles.length(
        side, max(ProductTiles.side, ProductTiles.leastWork / (max(1, inner) * across)))
    }
    tileRows = length(rows, across: columns)
    tileColumns = length(columns, across: tileRows)
  }

  /// Divides a side into parts of about the same length, all but the last a multiple of 16.
  private static func length(_ side: Int, _ desired: Int) -> Int {
    let parts = (side + desired - 1) / desired
    return ((side + parts - 1) / parts).roundedUp(toMultipleOf: 16)
  }

  private var columnParts: Int { (columns + tileColumns - 1) / tileColumns }

  var count: Int { (rows + tileRows - 1) / tileRows * columnParts }

  /// Tiles of the same rows follow each other.
  subscript(number: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let (row, column) = (number / columnParts * tileRows, number % columnParts * tileColumns)
    return (
      row..<min(row + tileRows, rows), column..<min(column + tileColumns, columns)
    )
  }
}
