// The inner loops of sparse convolutions over regions of images: neighbouring rows and columns that
// stay in registers, whether their taps read padding or not. What must not live here: geometry and
// threads, which belong to the engine.

/// Sums over regions. A segment of a list has three numbers here: the indices of its ends in a
/// channel's row of `starts`, and a *form*, which says what part of the region does not read
/// padding: 3 * rows + columns, where 0 is all, 1 all but the first and 2 all but the last.
extension SparseTiles {
  /// Rows of a region.
  public static var regionRows: Int { FullRegion.rows }

  public static var regionColumns: Int { FullRegion.Row.columns }

  /// Computes one region: for each target channel c, row r and column k, target[c * targetStride +
  /// r * targetRowStride + k * targetColumnStride] = the bias plus the sum over entries i of
  /// values[i] * source[entries[i] * 16 + r * rowStride + k * columnStep * 16], unless that is
  /// padding. The other parameters are those of `multiply`.
  ///
  /// - Parameter columnStep: 1 or 2.
  @unsafe public static func multiplyRegion(
    _ source: UnsafePointer<Float>, rowStride: Int, columnStep: Int, entries: UnsafePointer<Int32>,
    values: UnsafePointer<Float>, starts: UnsafePointer<Int32>, startStride: Int,
    segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int, bias: UnsafePointer<Float>?,
    accumulate: Bool, into target: UnsafeMutablePointer<Float>, targetRowStride: Int,
    targetColumnStride: Int, targetStride: Int
  ) {
    let loop = unsafe RegionLoop(
      source: UnsafeRawPointer(source), rowStride: rowStride &* MemoryLayout<Float>.stride,
      entries: entries)
    for channel in 0..<channels {
      let to = unsafe target + channel &* targetStride
      let starts = unsafe starts + channel &* startStride
      var tile = FullRegion()
      if accumulate {
        unsafe tile = FullRegion(
          to, rowStride: targetRowStride, columnStride: targetColumnStride, firstRow: 0,
          firstColumn: 0)
      } else if let bias = unsafe bias {
        unsafe tile.set(bias[channel])
      }
      for segment in 0..<segmentCount {
        let range = unsafe Segment(segments + 3 &* segment, starts)
        if columnStep == 1 {
          unsafe loop.add(range, values, step: SixteenLanes.bytes, to: &tile)
        } else {
          unsafe loop.add(range, values, step: 2 &* SixteenLanes.bytes, to: &tile)
        }
      }
      unsafe tile.store(
        to: to, rowStride: targetRowStride, columnStride: targetColumnStride)
    }
  }

  /// Adds the products of one region to the gradients of kept weights. The segments of each channel
  /// must follow each other. The other parameters are those of `multiplyRegion` and `correlate`.
  ///
  /// - Parameters:
  ///   - firstRow: rows before it are not added, since another region contains them.
  ///   - firstColumn: likewise.
  @unsafe public static func correlateRegion(
    _ source: UnsafePointer<Float>, rowStride: Int, columnStep: Int,
    with gradient: UnsafePointer<Float>, gradientRowStride: Int, gradientColumnStride: Int,
    gradientStride: Int, firstRow: Int, firstColumn: Int, entries: UnsafePointer<Int32>,
    starts: UnsafePointer<Int32>, startStride: Int, segments: UnsafePointer<Int32>,
    segmentCount: Int, channels: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let loop = unsafe RegionLoop(
      source: UnsafeRawPointer(source), rowStride: rowStride &* MemoryLayout<Float>.stride,
      entries: entries)
    unsafe withUnsafeTemporaryAllocation(
      of: SixteenLanes.self, capacity: PendingSums.capacity
    ) { buffer in
      guard let buffer = buffer.baseAddress else { return }
      let pending = unsafe PendingSums(buffer)
      for channel in 0..<channels {
        let starts = unsafe starts + channel &* startStride
        let tile = unsafe FullRegion(
          gradient + channel &* gradientStride, rowStride: gradientRowStride,
          columnStride: gradientColumnStride, firstRow: firstRow, firstColumn: firstColumn)
        var (count, end) = (0, 0)
        for segment in 0..<segmentCount {
          var range = unsafe Segment(segments + 3 &* segment, starts)
          end = range.end
          while range.first < end {
            range.end = min(end, range.first &+ PendingSums.capacity &- count)
            if columnStep == 1 {
              unsafe loop.sum(tile, range, step: SixteenLanes.bytes, buffer + count)
            } else {
              unsafe loop.sum(tile, range, step: 2 &* SixteenLanes.bytes, buffer + count)
            }
            count &+= range.end &- range.first
            range.first = range.end
            if count == PendingSums.capacity {
              unsafe pending.add(count, to: target + (range.first &- count))
              count = 0
            }
          }
        }
        if count > 0 { unsafe pending.add(count, to: target + (end &- count)) }
      }
    }
  }
}

extension SixteenLanes {
  fileprivate static var bytes: Int { MemoryLayout<SixteenLanes>.size }
}

/// A range of entries, and the part of the region that they are for.
private struct Segment {
  var first: Int
  var end: Int
  let form: Int32

  @inline(__always)
  init(_ segment: UnsafePointer<Int32>, _ starts: UnsafePointer<Int32>) {
    unsafe first = Int(starts[Int(segment[0])])
    unsafe end = Int(starts[Int(segment[1])])
    unsafe form = segment[2]
  }
}

/// The windows of all forms.
private enum Windows {
  @inline(__always)
  static func window(_ rows: Int, _ columns: Int) -> RegionWindow {
    let (height, width) = (FullRegion.rows, FullRegion.Row.columns)
    return RegionWindow(
      rows: (rows == 1 ? 1 : 0, rows == 2 ? height &- 1 : height),
      columns: (columns == 1 ? 1 : 0, columns == 2 ? width &- 1 : width))
  }
}

/// The loops over entries.
@safe private struct RegionLoop {
  let source: UnsafeRawPointer
  /// Bytes.
  let rowStride: Int
  let entries: UnsafePointer<Int32>

  /// One loop for each form, so that the windows are constants.
  @inline(__always)
  func add(_ range: Segment, _ values: UnsafePointer<Float>, step: Int, to tile: inout FullRegion) {
    switch range.form {
    case 0: unsafe add(range, values, step, Windows.window(0, 0), to: &tile)
    case 1: unsafe add(range, values, step, Windows.window(0, 1), to: &tile)
    case 2: unsafe add(range, values, step, Windows.window(0, 2), to: &tile)
    case 3: unsafe add(range, values, step, Windows.window(1, 0), to: &tile)
    case 4: unsafe add(range, values, step, Windows.window(1, 1), to: &tile)
    case 5: unsafe add(range, values, step, Windows.window(1, 2), to: &tile)
    case 6: unsafe add(range, values, step, Windows.window(2, 0), to: &tile)
    case 7: unsafe add(range, values, step, Windows.window(2, 1), to: &tile)
    default: unsafe add(range, values, step, Windows.window(2, 2), to: &tile)
    }
  }

  @inline(__always)
  private func add(
    _ range: Segment, _ values: UnsafePointer<Float>, _ step: Int, _ window: RegionWindow,
    to tile: inout FullRegion
  ) {
    var i = range.first
    while i < range.end {
      let at = unsafe source + Int(entries[i]) &* SixteenLanes.bytes
      let weight = unsafe SixteenLanes(repeating: values[i])
      unsafe tile.add(at, rowStride: rowStride, step: step, times: weight, window)
      i &+= 1
    }
  }

  @inline(__always)
  func sum(
    _ tile: FullRegion, _ range: Segment, step: Int, _ sums: UnsafeMutablePointer<SixteenLanes>
  ) {
    switch range.form {
    case 0: unsafe sum(tile, range, step, Windows.window(0, 0), sums)
    case 1: unsafe sum(tile, range, step, Windows.window(0, 1), sums)
    case 2: unsafe sum(tile, range, step, Windows.window(0, 2), sums)
    case 3: unsafe sum(tile, range, step, Windows.window(1, 0), sums)
    case 4: unsafe sum(tile, range, step, Windows.window(1, 1), sums)
    case 5: unsafe sum(tile, range, step, Windows.window(1, 2), sums)
    case 6: unsafe sum(tile, range, step, Windows.window(2, 0), sums)
    case 7: unsafe sum(tile, range, step, Windows.window(2, 1), sums)
    default: unsafe sum(tile, range, step, Windows.window(2, 2), sums)
    }
  }

  @inline(__always)
  private func sum(
    _ tile: FullRegion, _ range: Segment, _ step: Int, _ window: RegionWindow,
    _ sums: UnsafeMutablePointer<SixteenLanes>
  ) {
    var sums = unsafe sums
    var i = range.first
    while i < range.end {
      let at = unsafe source + Int(entries[i]) &* SixteenLanes.bytes
      var total = SixteenLanes()
      unsafe tile.addProducts(at, rowStride: rowStride, step: step, window, to: &total)
      unsafe sums.pointee = total
      unsafe sums += 1
      i &+= 1
    }
  }
}
