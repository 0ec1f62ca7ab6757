// The registers of a region: neighbouring rows and columns of one image, one vector of sixteen
// samples each. What must not live here: the loop over kept weights.

/// The part of a region for which a tap reads no padding.
struct RegionWindow {
  let rows: (first: Int, end: Int)
  let columns: (first: Int, end: Int)
}

/// Adjacent vectors of one row.
protocol RegionRow {
  static var columns: Int { get }
  init()
  init(_ source: UnsafePointer<Float>, stride: Int, from first: Int)
  mutating func set(_ value: Float)
  /// Adds weight times the columns `first` ..< `end` of a row in memory, `step` bytes apart.
  mutating func add(
    _ row: UnsafeRawPointer, _ step: Int, times weight: SixteenLanes, _ first: Int, _ end: Int)
  /// Adds the products of these columns and those in memory to a sum.
  func addProducts(
    _ row: UnsafeRawPointer, _ step: Int, _ first: Int, _ end: Int, to sum: inout SixteenLanes)
  func store(to target: UnsafeMutablePointer<Float>, stride: Int)
}

struct OneColumn: RegionRow {
  static var columns: Int { 1 }
  var sum = SixteenLanes()

  @inline(__always) init() {}
  @inline(__always) init(_ source: UnsafePointer<Float>, stride: Int, from first: Int) {
    if first <= 0 { unsafe sum = UnsafeRawPointer(source).loadUnaligned(as: SixteenLanes.self) }
  }

  @inline(__always) mutating func set(_ value: Float) { sum = SixteenLanes(repeating: value) }

  @inline(__always) mutating func add(
    _ row: UnsafeRawPointer, _ step: Int, times weight: SixteenLanes, _ first: Int, _ end: Int
  ) {
    guard first <= 0 && end > 0 else { return }
    sum = unsafe sum.adding(row.loadUnaligned(as: SixteenLanes.self), times: weight)
  }

  @inline(__always) func addProducts(
    _ row: UnsafeRawPointer, _ step: Int, _ first: Int, _ end: Int, to total: inout SixteenLanes
  ) {
    guard first <= 0 && end > 0 else { return }
    total = unsafe total.adding(row.loadUnaligned(as: SixteenLanes.self), times: sum)
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>, stride: Int) {
    unsafe UnsafeMutableRawPointer(target).storeBytes(of: sum, as: SixteenLanes.self)
  }
}

struct TwiceColumns<Half: RegionRow>: RegionRow {
  static var columns: Int { 2 * Half.columns }
  var low: Half
  var high: Half

  @inline(__always) init() { (low, high) = (Half(), Half()) }
  @inline(__always) init(_ source: UnsafePointer<Float>, stride: Int, from first: Int) {
    unsafe low = Half(source, stride: stride, from: first)
    unsafe high = Half(
      source + Half.columns &* stride, stride: stride, from: first &- Half.columns)
  }

  @inline(__always) mutating func set(_ value: Float) {
    low.set(value)
    high.set(value)
  }

  @inline(__always) mutating func add(
    _ row: UnsafeRawPointer, _ step: Int, times weight: SixteenLanes, _ first: Int, _ end: Int
  ) {
    let half = Half.columns
    unsafe low.add(row, step, times: weight, first, end)
    unsafe high.add(row + half &* step, step, times: weight, first &- half, end &- half)
  }

  @inline(__always) func addProducts(
    _ row: UnsafeRawPointer, _ step: Int, _ first: Int, _ end: Int, to total: inout SixteenLanes
  ) {
    let half = Half.columns
    unsafe low.addProducts(row, step, first, end, to: &total)
    unsafe high.addProducts(row + half &* step, step, first &- half, end &- half, to: &total)
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>, stride: Int) {
    unsafe low.store(to: target, stride: stride)
    unsafe high.store(to: target + Half.columns &* stride, stride: stride)
  }
}

/// All rows of a region.
protocol RegionTile {
  associatedtype Row: RegionRow
  static var rows: Int { get }
  init()
  /// Vectors in memory; zeros in rows and columns before the first.
  init(
    _ source: UnsafePointer<Float>, rowStride: Int, columnStride: Int, firstRow: Int,
    firstColumn: Int)
  mutating func set(_ value: Float)
  mutating func add(
    _ source: UnsafeRawPointer, rowStride: Int, step: Int, times weight: SixteenLanes,
    _ window: RegionWindow)
  func addProducts(
    _ source: UnsafeRawPointer, rowStride: Int, step: Int, _ window: RegionWindow,
    to total: inout SixteenLanes)
  func store(to target: UnsafeMutablePointer<Float>, rowStride: Int, columnStride: Int)
}

struct SingleRow<Row: RegionRow>: RegionTile {
  static var rows: Int { 1 }
  var row = Row()

  @inline(__always) init() {}
  @inline(__always) init(
    _ source: UnsafePointer<Float>, rowStride: Int, columnStride: Int, firstRow: Int,
    firstColumn: Int
  ) {
    if firstRow <= 0 { unsafe row = Row(source, stride: columnStride, from: firstColumn) }
  }

  @inline(__always) mutating func set(_ value: Float) { row.set(value) }

  @inline(__always) mutating func add(
    _ source: UnsafeRawPointer, rowStride: Int, step: Int, times weight: SixteenLanes,
    _ window: RegionWindow
  ) {
    guard window.rows.first <= 0 && window.rows.end > 0 else { return }
    unsafe row.add(source, step, times: weight, window.columns.first, window.columns.end)
  }

  @inline(__always) func addProducts(
    _ source: UnsafeRawPointer, rowStride: Int, step: Int, _ window: RegionWindow,
    to total: inout SixteenLanes
  ) {
    guard window.rows.first <= 0 && window.rows.end > 0 else { return }
    unsafe row.addProducts(source, step, window.columns.first, window.columns.end, to: &total)
  }

  @inline(__always) func store(
    to target: UnsafeMutablePointer<Float>, rowStride: Int, columnStride: Int
  ) {
    unsafe row.store(to: target, stride: columnStride)
  }
}

struct TwiceRows<Half: RegionTile>: RegionTile {
  typealias Row = Half.Row
  static var rows: Int { 2 * Half.rows }
  var low: Half
  var high: Half

  @inline(__always) init() { (low, high) = (Half(), Half()) }
  @inline(__always) init(
    _ source: UnsafePointer<Float>, rowStride: Int, columnStride: Int, firstRow: Int,
    firstColumn: Int
  ) {
    unsafe low = Half(
      source, rowStride: rowStride, columnStride: columnStride, firstRow: firstRow,
      firstColumn: firstColumn)
    unsafe high = Half(
      source + Half.rows &* rowStride, rowStride: rowStride, columnStride: columnStride,
      firstRow: firstRow &- Half.rows, firstColumn: firstColumn)
  }

  @inline(__always) mutating func set(_ value: Float) {
    low.set(value)
    high.set(value)
  }

  /// The window of the second half.
  @inline(__always) private func shifted(_ window: RegionWindow) -> RegionWindow {
    RegionWindow(
      rows: (window.rows.first &- Half.rows, window.rows.end &- Half.rows), columns: window.columns)
  }

  @inline(__always) mutating func add(
    _ source: UnsafeRawPointer, rowStride: Int, step: Int, times weight: SixteenLanes,
    _ window: RegionWindow
  ) {
    unsafe low.add(source, rowStride: rowStride, step: step, times: weight, window)
    unsafe high.add(
      source + Half.rows &* rowStride, rowStride: rowStride, step: step, times: weight,
      shifted(window))
  }

  // The halves have sums of their own, so that additions wait for each other less.
  @inline(__always) func addProducts(
    _ source: UnsafeRawPointer, rowStride: Int, step: Int, _ window: RegionWindow,
    to total: inout SixteenLanes
  ) {
    var second = SixteenLanes()
    unsafe low.addProducts(source, rowStride: rowStride, step: step, window, to: &total)
    unsafe high.addProducts(
      source + Half.rows &* rowStride, rowStride: rowStride, step: step, shifted(window),
      to: &second)
    total += second
  }

  @inline(__always) func store(
    to target: UnsafeMutablePointer<Float>, rowStride: Int, columnStride: Int
  ) {
    unsafe low.store(to: target, rowStride: rowStride, columnStride: columnStride)
    unsafe high.store(
      to: target + Half.rows &* rowStride, rowStride: rowStride, columnStride: columnStride)
  }
}

typealias TwoColumns = TwiceColumns<OneColumn>

// Sixteen of 32 registers; eight of sixteen.
#if SWIFTFORCE_V4
  typealias FullRegion = TwiceRows<TwiceRows<SingleRow<TwiceColumns<TwoColumns>>>>
#else
  typealias FullRegion = TwiceRows<SingleRow<TwoColumns>>
#endif
