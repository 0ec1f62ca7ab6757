// The BLAS wrapper against three nested loops.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct MatrixProductTests {
  /// The product by definition. Strides are those of rows and columns. The loops count by hand
  /// because debug builds call several functions for each step of a `for`.
  private func product(
    _ a: [Double], _ b: [Double], _ m: Int, _ n: Int, _ k: Int,
    strides: (a: (Int, Int), b: (Int, Int)), from start: Double
  ) -> [Double] {
    var c: [Double] = []
    for row in 0..<m {
      for column in 0..<n {
        var (sum, i) = (start, 0)
        var (left, right) = (row * strides.a.0, column * strides.b.1)
        while i < k {
          sum += a[left] * b[right]
          left += strides.a.1
          right += strides.b.0
          i += 1
        }
        c.append(sum)
      }
    }
    return c
  }

  /// C(m, n) = A B + beta C, with A and B as they are stored.
  private func check<Element: BLASScalar>(
    _ type: Element.Type, _ m: Int, _ n: Int, _ k: Int, _ transposeA: Bool, _ transposeB: Bool,
    _ accumulate: Bool, tolerance: Double
  ) throws {
    let a = try Arena<Element>(uniform(m * k, seed: 1))
    let b = try Arena<Element>(uniform(k * n, seed: 2))
    // What is there must not be read unless it is added to.
    let c = try Arena<Element>([Element](repeating: accumulate ? 0.5 : .nan, count: m * n))
    let left = a.all.matrix(rows: transposeA ? k : m, columns: transposeA ? m : k)
    let right = b.all.matrix(rows: transposeB ? n : k, columns: transposeB ? k : n)
    c.all.matrix(rows: m, columns: n).assignProduct(
      transposeA ? left.transposed : left.asStored,
      transposeB ? right.transposed : right.asStored, accumulate: accumulate,
      team: Team(workers: 2))
    let expected = product(
      a.values.map { Double($0) }, b.values.map { Double($0) }, m, n, k,
      strides: (transposeA ? (1, m) : (k, 1), transposeB ? (1, k) : (n, 1)),
      from: accumulate ? 0.5 : 0)
    #expect(relativeError(c.values, expected) < tolerance)
  }

  @Test(arguments: [(1, 1, 1), (2, 3, 5), (4, 1, 7), (1, 6, 3), (17, 9, 33)], [false, true])
  func agreesWithLoops(size: (Int, Int, Int), accumulate: Bool) throws {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
      let (m, n, k) = size
      try check(Double.self, m, n, k, ta, tb, accumulate, tolerance: 1e-13)
      try check(Float.self, m, n, k, ta, tb, accumulate, tolerance: 1e-5)
    }
  }

  /// So large that there are several tiles, and the last ones are smaller.
  @Test(arguments: [(300, 260, 40), (1, 1500, 900), (1500, 1, 900), (130, 129, 128)])
  func tilesAgreeWithLoops(size: (Int, Int, Int)) throws {
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
      try check(Double.self, size.0, size.1, size.2, ta, tb, true, tolerance: 1e-12)
    }
  }

  @Test(arguments: [(1, 1, 1), (300, 260, 40), (10, 100_000, 3), (4096, 1, 4096), (7, 9, 0)])
  func tilesCoverEachElementOnce(size: (Int, Int, Int)) {
    let (rows, columns, inner) = size
    let tiles = ProductTiles(rows: rows, columns: columns, inner: inner)
    var counts = [Int](repeating: 0, count: rows * columns)
    for number in 0..<tiles.count {
      let tile = tiles[number]
      for row in tile.rows { for column in tile.columns { counts[row * columns + column] += 1 } }
    }
    #expect(counts.allSatisfy { $0 == 1 })
  }

  @Test func bitsDoNotDependOnTheNumberOfThreads() throws {
    let (m, n, k) = (300, 700, 260)
    let a = try Arena<Float>(uniform(m * k, seed: 1))
    let b = try Arena<Float>(uniform(k * n, seed: 2))
    let products = try [1, 2, 3, 8].map { workers in
      let c = try Arena<Float>(count: m * n)
      let team = Team(workers: workers)
      defer { team.join() }
      c.all.matrix(rows: m, columns: n).assignProduct(
        a.all.matrix(rows: m, columns: k).asStored, b.all.matrix(rows: k, columns: n).asStored,
        accumulate: false, team: team)
      return c.values.map(\.bitPattern)
    }
    #expect(products.allSatisfy { $0 == products[0] })
  }
}
