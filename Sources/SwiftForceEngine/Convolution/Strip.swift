// How a convolution is divided into strips that fit in cache, and how a strip's source is copied so
// that every tap reads one contiguous run. What must not live here: sums of products.

/// Adjacent targets of one row, for some of the samples.
struct Strip: Sendable {
  /// The index of its source's layout in `StripPlan.layouts`.
  let layout: Int
  /// The index of the row, and of the first column, in their tap classes.
  let row: Int
  let column: Int
  let columns: Int
  let samples: Range<Int>

  /// Elements of each channel.
  var length: Int { columns * samples.count }
}

/// The strips of a convolution for a batch, and the layouts of their copied sources.
///
/// The source of a strip is copied channel by channel: for each row of taps, the columns that any
/// of its taps reads, grouped by phase, with `samples` elements each. A tap is then a fixed offset:
/// the inner loop computes no index, padding is zeros in the copy, and reads are contiguous.
struct StripPlan: Sendable {
  /// The taps of rows and columns, and the offset of each tap in a copied channel.
  struct SourceLayout: Sendable {
    let rows: TapClass
    let columns: TapClass
    /// The columns of each phase: the first is `first` + the strip's column, there are `extra` more
    /// than the strip has, and they begin at offset `start` of a row of taps.
    let phases: [(phase: Int, first: Int, extra: Int, start: Int)]
    /// Elements of a row of taps.
    let rowLength: Int
    /// For each tap, row by row: its offset, and its position in the kernel.
    let offsets: [Int]
    let positions: [Int]

    /// Elements of a copied channel.
    let channelLength: Int
  }

  let layouts: [SourceLayout]
  let strips: [Strip]
  let batch: Int
  /// The samples and columns of the largest strip.
  let samples: Int
  let columns: Int
  /// The sizes of the source's and the target's image.
  let sourceHeight: Int
  let sourceWidth: Int
  let targetWidth: Int
  let targetHeight: Int
  /// Elements of the largest copied channel of all layouts.
  let channelLength: Int

  /// - Parameters:
  ///   - length: the desired length of a strip, which a short row may not reach.
  ///   - kernelWidth: the columns of the kernel.
  init(
    rows: [TapClass], columns: [TapClass], height: Int, width: Int, batch: Int, length: Int,
    kernelWidth: Int
  ) {
    let parts = (batch + max(length, 128) - 1) / max(length, 128)
    let samples = (batch + parts - 1) / parts
    let desired = parts > 1 ? 1 : max(1, length / samples)
    let widest = columns.map(\.count).max() ?? 1
    let pieces = (widest + desired - 1) / desired
    let maximum = (widest + pieces - 1) / pieces
    self.batch = batch
    self.samples = samples
    self.columns = maximum
    sourceHeight = rows[0].sources
    sourceWidth = columns[0].sources
    targetHeight = height
    targetWidth = width
    var layouts: [SourceLayout] = []
    var strips: [Strip] = []
    for rowClass in rows {
      for columnClass in columns {
        layouts.append(
          SourceLayout(
            rows: rowClass, columns: columnClass, maximum: maximum, samples: samples,
            kernelWidth: kernelWidth))
        for row in 0..<rowClass.count {
          for column in stride(from: 0, to: columnClass.count, by: maximum) {
            for first in stride(from: 0, to: batch, by: samples) {
              strips.append(
                Strip(
                  layout: layouts.count - 1, row: row, column: column,
                  columns: min(maximum, columnClass.count - column),
                  samples: first..<min(first + samples, batch)))
            }
          }
        }
      }
    }
    self.layouts = layouts
    self.strips = strips
    channelLength = layouts.map(\.channelLength).max() ?? 0
  }

  /// Elements of each target channel of the longest strip.
  var length: Int { columns * samples }

  /// The index of a strip's first element in a target channel, and the distance between its
  /// columns.
  func target(of strip: Strip) -> (start: Int, step: Int) {
    let layout = layouts[strip.layout]
    let row = layout.rows.target(strip.row)
    let column = layout.columns.target(strip.column)
    return (
      (row * targetWidth + column) * batch + strip.samples.lowerBound, layout.columns.step * batch
    )
  }
}

extension StripPlan {
  /// The bytes that the plans of a convolution take, forward and backward, at most. Lists that grow
  /// take up to three times what they hold.
  static func tables(_ rows: ConvolutionSide, _ columns: ConvolutionSide, batch: Int) -> Int {
    let parts = Double(batch / 128 + 1)
    let strips = Double(2 * rows.outputs * columns.outputs + rows.inputs * columns.inputs) * parts
    let taps = rows.kernel * columns.kernel + rows.kernel + columns.kernel
    let classes =
      min(rows.stride, rows.inputs) * min(columns.stride, columns.inputs)
      + min(rows.stride, rows.kernel) + min(columns.stride, columns.kernel)
    let bytes = strips * Double(MemoryLayout<Strip>.stride) + Double(taps * 64 + classes * 512)
    // In binary64, and no more than any memory: images and batches may be very large.
    return Int(min(3 * bytes, 0x1p58))
  }
}

extension StripPlan.SourceLayout {
  init(rows: TapClass, columns: TapClass, maximum: Int, samples: Int, kernelWidth: Int) {
    self.rows = rows
    self.columns = columns
    var phases: [(phase: Int, first: Int, extra: Int, start: Int)] = []
    var rowLength = 0
    for phase in Set(columns.taps.map(\.phase)).sorted() {
      let shifts = columns.taps.filter { $0.phase == phase }.map(\.shift)
      let (first, last) = (shifts.min() ?? 0, shifts.max() ?? 0)
      phases.append((phase, first, last - first, rowLength))
      rowLength += (maximum + last - first) * samples
    }
    self.phases = phases
    self.rowLength = rowLength
    channelLength = rows.taps.count * rowLength
    var offsets: [Int] = []
    var positions: [Int] = []
    for (number, row) in rows.taps.enumerated() {
      for column in columns.taps {
        let phase = phases.first { $0.phase == column.phase }
        guard let phase else { continue }
        offsets.append(
          number * rowLength + phase.start + (column.shift - phase.first) * samples)
        positions.append(row.position * kernelWidth + column.position)
      }
    }
    self.offsets = offsets
    self.positions = positions
  }

  /// The taps of a row that read no padding, as indices of `offsets`.
  func taps(ofRow row: Int) -> Range<Int> {
    let valid = rows.valid(row)
    return valid.lowerBound * columns.taps.count..<valid.upperBound * columns.taps.count
  }
}

extension StripPlan {
  /// Copies the source of a strip: the first `channels` channels of `source`.
  func copy<Element>(
    _ strip: Strip, channels: Int, from source: Vector<Element>, to target: Vector<Element>
  ) {
    let layout = layouts[strip.layout]
    let rows = layout.rows.valid(strip.row)
    let image = sourceHeight * sourceWidth * batch
    for channel in 0..<channels {
      for number in rows {
        guard let row = layout.rows.source(strip.row, layout.rows.taps[number]) else { continue }
        let from = channel * image + row * sourceWidth * batch
        let to = channel * layout.channelLength + number * layout.rowLength
        for phase in layout.phases {
          copy(
            strip, phase.phase, strip.column + phase.first, strip.columns + phase.extra,
            step: layout.columns.sourceStep, from: source, at: from, to: target,
            at: to + phase.start)
        }
      }
    }
  }

  /// Copies `count` columns step * (first + i) + phase of a row, with zeros for columns outside the
  /// image. Copied columns are `samples` apart, even if the strip has fewer.
  private func copy<Element>(
    _ strip: Strip, _ phase: Int, _ first: Int, _ count: Int, step: Int,
    from source: Vector<Element>, at from: Int, to target: Vector<Element>, at to: Int
  ) {
    let begin = min(count, max(0, -first))
    let end = max(begin, min(count, (sourceWidth - phase + step - 1) / step - first))
    if begin > 0 { target.clear(to..<to + begin * samples) }
    if end < count { target.clear(to + end * samples..<to + count * samples) }
    let start = from + strip.samples.lowerBound
    let width = strip.samples.count
    guard begin < end else { return }
    if step == 1 && width == batch {
      let at = start + (first + begin) * batch
      target.copy(source, at..<at + (end - begin) * width, to: to + begin * width)
      return
    }
    for i in begin..<end {
      let at = start + (step * (first + i) + phase) * batch
      target.copy(source, at..<at + width, to: to + i * samples)
    }
  }
}
