// The division of a convolution's targets into regions: neighbouring rows and columns whose sums
// stay in registers, with taps that may read padding. What must not live here: kept weights.

/// The targets of a convolution, or of one remainder of its stride, as regions of one size.
///
/// Regions read neighbouring positions, all of them of one block of samples. Points with the same
/// valid taps lie at the edges of the image, far apart in memory.
struct SparseRegions: Sendable {
  /// One region. Where the image is no multiple of a region, the last overlaps the one before.
  struct Region: Sendable {
    /// The position in the source that a tap without shift reads. It may be outside.
    let row: Int
    let column: Int
    /// The index of the first target in a channel.
    let target: Int
    /// Rows and columns before these are in another region, too.
    let firstRow: Int
    let firstColumn: Int
    /// The index in `forms`.
    let form: Int
  }

  /// Successive taps, row by row, for which the same part of a region reads no padding.
  struct Run: Sendable, Equatable {
    let taps: Range<Int>
    /// See `SparseTiles.multiplyRegion`.
    let form: Int
  }

  let regions: [Region]
  /// The runs of all kinds of regions.
  let forms: [[Run]]
  /// Elements of a sample between two rows of a region in the target.
  let targetRowStride: Int
  /// Likewise between two columns, in the source and in the target.
  let columnStep: Int
  let targetColumnStep: Int
  /// Positions of a region.
  let targets: Int
  /// The positions that a region reads in each channel.
  let positions: Int
  let window: SourceWindow

  /// How much more than the image all regions may be.
  static var wasteLimit: Double { 1.5 }

  /// Nil if regions of `height` rows and `width` columns would not be faster than points, or if
  /// there is no loop for them.
  init?(rows: TapClass, columns: TapClass, targetWidth: Int, height: Int, width: Int) {
    guard height > 0, rows.taps.count * columns.taps.count > 1, columns.sourceStep <= 2,
      let vertical = SparseRegions.spans(rows, height),
      let horizontal = SparseRegions.spans(columns, width)
    else { return nil }
    let covered = vertical.count * height * horizontal.count * width
    guard Double(covered) <= SparseRegions.wasteLimit * Double(rows.count * columns.count) else {
      return nil
    }
    var regions: [Region] = []
    var forms: [[Run]] = []
    regions.reserveCapacity(vertical.count * horizontal.count)
    for row in vertical {
      for column in horizontal {
        let runs = SparseRegions.runs(row.forms, column.forms)
        let form = forms.firstIndex(of: runs) ?? forms.count
        if form == forms.count { forms.append(runs) }
        regions.append(
          Region(
            row: rows.sourceStep * row.start, column: columns.sourceStep * column.start,
            target: rows.target(row.start) * targetWidth + columns.target(column.start),
            firstRow: row.overlap, firstColumn: column.overlap, form: form))
      }
    }
    self.regions = regions
    self.forms = forms
    targetRowStride = rows.step * targetWidth
    columnStep = columns.sourceStep
    targetColumnStep = columns.step
    targets = height * width
    window = SourceWindow(rows: rows, columns: columns, height: height, width: width)
    positions =
      min(rows.sources, (height - 1) * rows.sourceStep + rows.taps.count)
      * min(columns.sources, (width - 1) * columns.sourceStep + columns.taps.count)
  }

  /// A region's targets along one axis: the first, how many the span before has, too, and for each
  /// tap which of them read no padding: 0 all, 1 all but the first, 2 all but the last.
  private struct Span {
    let start: Int
    let overlap: Int
    let forms: [Int]
  }

  private static func spans(_ side: TapClass, _ length: Int) -> [Span]? {
    guard side.count >= length else { return nil }
    var spans: [Span] = []
    for first in stride(from: 0, to: side.count, by: length) {
      let start = min(first, side.count - length)
      var forms: [Int] = []
      for tap in side.taps {
        let isValid = (start..<start + length).map { side.source($0, tap) != nil }
        let inner = isValid.dropFirst().dropLast().allSatisfy { $0 }
        switch (isValid[0], isValid[length - 1]) {
        case (true, true) where inner: forms.append(0)
        case (false, true) where inner: forms.append(1)
        case (true, false) where inner: forms.append(2)
        default: return nil
        }
      }
      spans.append(Span(start: start, overlap: first - start, forms: forms))
    }
    return spans
  }

  private static func runs(_ rows: [Int], _ columns: [Int]) -> [Run] {
    var runs: [Run] = []
    for (tap, form) in rows.flatMap({ row in columns.map { 3 * row + $0 } }).enumerated() {
      if let last = runs.last, last.form == form {
        runs[runs.count - 1] = Run(taps: last.taps.lowerBound..<tap + 1, form: form)
      } else {
        runs.append(Run(taps: tap..<tap + 1, form: form))
      }
    }
    return runs
  }
}
