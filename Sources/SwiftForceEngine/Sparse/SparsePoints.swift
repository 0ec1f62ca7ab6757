// The points of a sparse convolution: where each reads and writes, and which of its taps read no
// padding. What must not live here: kept weights (SparseLists.swift).

/// Points that have the same valid taps.
struct PointClass: Sendable, Equatable {
  /// The valid taps, as indices of the rows' and the columns' taps. Both are empty if none is
  /// valid.
  let rows: Range<Int>
  let columns: Range<Int>
  /// The points, as indices of `SparsePoints.origins`.
  let points: Range<Int>
}

/// The targets of a convolution, or of one remainder of its stride, grouped by their valid taps.
///
/// Points that follow each other lie close together: two rows are traversed together, column by
/// column, forth and then back. What a few of them read is then small.
struct SparsePoints: Sendable {
  let rows: TapClass
  let columns: TapClass
  let classes: [PointClass]
  /// The index of each point in a channel of the target.
  let targets: [Int32]
  /// The index in a channel of the source that a tap without shift reads. It may be outside.
  let origins: [Int32]

  /// - Parameter targetWidth: columns of the target's image.
  init(rows: TapClass, columns: TapClass, targetWidth: Int) {
    self.rows = rows
    self.columns = columns
    var classes: [PointClass] = []
    var targets: [Int32] = []
    var origins: [Int32] = []
    targets.reserveCapacity(rows.count * columns.count)
    origins.reserveCapacity(rows.count * columns.count)
    for (validRows, rowIndices) in SparsePoints.groups(rows) {
      for (validColumns, columnIndices) in SparsePoints.groups(columns) {
        let first = targets.count
        SparsePoints.traverse(rowIndices, columnIndices) { row, column in
          targets.append(Int32(rows.target(row) * targetWidth + columns.target(column)))
          origins.append(
            Int32(rows.sourceStep * row * columns.sources + columns.sourceStep * column))
        }
        let isEmpty = validRows.isEmpty || validColumns.isEmpty
        classes.append(
          PointClass(
            rows: isEmpty ? 0..<0 : validRows, columns: isEmpty ? 0..<0 : validColumns,
            points: first..<targets.count))
      }
    }
    self.classes = classes
    self.targets = targets
    self.origins = origins
  }

  /// The targets along one axis, grouped by their valid taps, in ascending order.
  private static func groups(_ side: TapClass) -> [(valid: Range<Int>, indices: [Int])] {
    var groups: [(valid: Range<Int>, indices: [Int])] = []
    for i in 0..<side.count {
      let valid = side.valid(i)
      if let group = groups.firstIndex(where: { $0.valid == valid }) {
        groups[group].indices.append(i)
      } else {
        groups.append((valid, [i]))
      }
    }
    return groups
  }

  /// Calls `body` with all pairs of a row and a column.
  private static func traverse(
    _ rows: [Int], _ columns: [Int], _ body: (_ row: Int, _ column: Int) -> Void
  ) {
    for first in stride(from: 0, to: rows.count, by: 2) {
      let pair = rows[first..<min(first + 2, rows.count)]
      for column in first % 4 == 0 ? columns : columns.reversed() {
        for row in pair { body(row, column) }
      }
    }
  }

  /// The number of taps of every target that reads no padding.
  var taps: Int { rows.taps.count * columns.taps.count }

  /// Elements of a channel of the source, and the columns of its image.
  var sourceSize: Int { rows.sources * columns.sources }

  /// Where each tap reads, from a point's origin.
  var shifts: [(row: Int, column: Int)] {
    rows.taps.flatMap { row in
      columns.taps.map { column in (rows.offset(row), columns.offset(column)) }
    }
  }

  /// The same as indices of a channel.
  var offsets: [Int] { shifts.map { $0.row * columns.sources + $0.column } }

  /// How many different positions of each channel `count` successive points with the most taps
  /// read, if the batch has many blocks.
  func positions(readBy count: Int) -> Int {
    func taps(_ form: PointClass) -> Int { form.rows.count * form.columns.count }
    guard let form = classes.max(by: { taps($0) < taps($1) }) else { return 0 }
    let offsets = offsets
    var positions = Set<Int>()
    for item in 0..<count {
      let (block, point) = item.quotientAndRemainder(dividingBy: form.points.count)
      let origin = block * sourceSize + Int(origins[form.points.lowerBound + point])
      for row in form.rows {
        for column in form.columns {
          positions.insert(origin + offsets[row * columns.taps.count + column])
        }
      }
    }
    return positions.count
  }
}
