// How a convolution is divided into strips that fit in cache, and how a strip's source is copied so
// that every tap reads one contiguous run. What must not live here: sums of products.

/// Adjacent targets of one row, for some blocks of samples.
struct Strip: Sendable {
  /// The index of its source's layout in `StripPlan.layouts`.
  let layout: Int
  /// The index of the row, and of the first column, in their tap classes.
  let row: Int
  let column: Int
  let columns: Int
  let blocks: Range<Int>
}

/// The strips of a convolution for a batch, and the layouts of their copied sources.
///
/// The source of a strip is copied channel by channel: for each row of taps, the columns that any
/// of its taps reads, grouped by phase, with the samples of all its blocks. A tap is then a fixed
/// offset: the inner loop computes no index, padding is zeros in the copy, and reads are
/// contiguous.
struct StripPlan: Sendable {
  /// The taps of rows and columns, and the offset of each tap in a copied channel.
  struct SourceLayout: Sendable {
    let rows: TapClass
    let columns: TapClass
    /// Elements of a column.
    let samples: Int
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
  /// How many samples are adjacent.
  let lanes: Int
  let source: StridedImage
  let target: StridedImage
  /// Elements of each target channel of the longest strip.
  let length: Int
  /// Elements of the largest copied channel of all layouts.
  let channelLength: Int

  /// - Parameters:
  ///   - length: the desired length of a strip, which a short row may not reach.
  ///   - kernelWidth: the columns of the kernel.
  init(
    rows: [TapClass], columns: [TapClass], source: Shape, target: Shape, batch: Int, length: Int,
    kernelWidth: Int
  ) {
    lanes = target.lanes(batch: batch)
    let blocks = (batch + lanes - 1) / lanes
    let size = StripSize(
      widest: columns.map(\.count).max() ?? 1, blocks: blocks, lanes: lanes, length: length)
    self.source = StridedImage(source, lanes: lanes)
    self.target = StridedImage(target, lanes: lanes)
    self.length = size.columns * size.blocks * lanes
    var layouts: [SourceLayout] = []
    var strips: [Strip] = []
    // Rows follow each other, so that what two strips read is still in cache.
    for first in stride(from: 0, to: blocks, by: size.blocks) {
      let blocks = first..<min(first + size.blocks, blocks)
      let begin = blocks.count == size.blocks ? 0 : layouts.count
      if first == 0 || begin > 0 {
        layouts += StripPlan.layouts(
          rows, columns, maximum: size.columns, samples: blocks.count * lanes,
          kernelWidth: kernelWidth)
      }
      for (i, rowClass) in rows.enumerated() {
        for row in 0..<rowClass.count {
          for (j, columnClass) in columns.enumerated() {
            for column in stride(from: 0, to: columnClass.count, by: size.columns) {
              strips.append(
                Strip(
                  layout: begin + i * columns.count + j, row: row, column: column,
                  columns: min(size.columns, columnClass.count - column), blocks: blocks))
            }
          }
        }
      }
    }
    self.layouts = layouts
    self.strips = strips
    channelLength = layouts.map(\.channelLength).max() ?? 0
  }

  private static func layouts(
    _ rows: [TapClass], _ columns: [TapClass], maximum: Int, samples: Int, kernelWidth: Int
  ) -> [SourceLayout] {
    rows.flatMap { rows in
      columns.map { columns in
        SourceLayout(
          rows: rows, columns: columns, maximum: maximum, samples: samples,
          kernelWidth: kernelWidth)
      }
    }
  }

  /// Elements of each target channel of a strip.
  func length(of strip: Strip) -> Int { strip.columns * strip.blocks.count * lanes }

  /// The index of a strip's first element in the target, for its first channel, and the distance
  /// between its columns.
  func place(of strip: Strip) -> (start: Int, step: Int) {
    let layout = layouts[strip.layout]
    let row = layout.rows.target(strip.row)
    let column = layout.columns.target(strip.column)
    return (
      strip.blocks.lowerBound * target.block + (row * target.width + column) * lanes,
      layout.columns.step * lanes
    )
  }
}

/// The sizes of an image in memory, in elements.
struct StridedImage: Sendable {
  let width: Int
  let row: Int
  let channel: Int
  let block: Int

  init(_ shape: Shape, lanes: Int) {
    width = shape.dimensions[2]
    row = width * lanes
    channel = shape.dimensions[1] * row
    block = shape.dimensions[0] * channel
  }
}

/// How many columns and blocks a strip has.
struct StripSize {
  let columns: Int
  let blocks: Int

  /// Whole rows if possible: the copy of a strip has some columns more than the strip.
  ///
  /// - Parameters:
  ///   - widest: the columns of the widest row.
  ///   - length: the desired number of elements.
  init(widest: Int, blocks: Int, lanes: Int, length: Int) {
    let pieces = max(1, length / lanes)
    columns = StripSize.part(of: widest, atMost: pieces)
    self.blocks = StripSize.part(of: blocks, atMost: max(1, pieces / columns))
  }

  /// The size of equal parts.
  private static func part(of count: Int, atMost limit: Int) -> Int {
    let parts = (count + limit - 1) / limit
    return (count + parts - 1) / parts
  }
}

extension StripPlan {
  /// The bytes that the plan of a convolution takes, at most. Lists that grow take up to three
  /// times what they hold.
  ///
  /// - Parameters:
  ///   - isForward: whether outputs are the targets, else inputs.
  ///   - length: the desired length of a strip.
  static func tables(
    _ rows: ConvolutionSide, _ columns: ConvolutionSide, isForward: Bool, batch: Int, length: Int
  ) -> Int {
    func classes(_ side: ConvolutionSide) -> Int { isForward ? 1 : min(side.stride, side.inputs) }
    let widest = isForward ? columns.outputs : columns.inputs / classes(columns) + 1
    let lanes = min(batch, Shape.imageLanes)
    let blocks = (batch + lanes - 1) / lanes
    let size = StripSize(widest: widest, blocks: blocks, lanes: lanes, length: length)
    let across = classes(columns) * ((widest + size.columns - 1) / size.columns)
    let down = isForward ? rows.outputs : rows.inputs
    // In binary64, and no more than any memory: images and batches may be very large.
    let strips = Double(down * across) * Double((blocks + size.blocks - 1) / size.blocks)
    let taps = rows.kernel * columns.kernel + rows.kernel + columns.kernel
    let layouts = Double(classes(rows)) * Double(classes(columns)) * 1024 + Double(taps) * 64
    return Int(min(3 * (strips * Double(MemoryLayout<Strip>.stride) + layouts), 0x1p58))
  }
}

extension StripPlan.SourceLayout {
  init(rows: TapClass, columns: TapClass, maximum: Int, samples: Int, kernelWidth: Int) {
    self.rows = rows
    self.columns = columns
    self.samples = samples
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
  /// Copies the source of a strip: some of the channels of `source`.
  func copy<Element>(
    _ strip: Strip, channels: Range<Int>, from source: Vector<Element>, to target: Vector<Element>,
    _ context: ExecutionContext<Element>
  ) {
    let layout = layouts[strip.layout]
    let step = layout.columns.sourceStep
    let start =
      strip.blocks.lowerBound * self.source.block
      + channels.lowerBound * self.source.channel
    for number in layout.rows.valid(strip.row) {
      guard let row = layout.rows.source(strip.row, layout.rows.taps[number]) else { continue }
      for phase in layout.phases {
        // Columns step * (first + i) + phase of the row, with zeros for those outside the image.
        let first = strip.column + phase.first
        let count = strip.columns + phase.extra
        let begin = min(count, max(0, -first))
        let columns = (self.source.width - phase.phase + step - 1) / step
        let end = max(begin, min(count, columns - first))
        let column = begin < end ? step * (first + begin) + phase.phase : 0
        unsafe context.tiles.copy(
          source.base + start + row * self.source.row + column * lanes,
          strides: (self.source.channel, step * lanes, self.source.block),
          into: target.base + number * layout.rowLength + phase.start,
          strides: (layout.channelLength, layout.samples, lanes), channels: channels.count,
          columns: end - begin, blocks: strip.blocks.count, lanes: lanes,
          zeros: (begin, count - end))
      }
    }
  }
}
