// How a convolution is cut into strips that stay in cache, and how the source of a strip is laid out
// so that every tap of it is one contiguous run. What must not live here: sums of products.

/// Neighbouring targets of one row, for some of the samples.
struct Strip: Sendable {
  /// Number of its taps' classes in `StripPlan.classes`.
  let kind: Int
  /// Number of the row, and of the first column, in their classes.
  let row: Int
  let column: Int
  let columns: Int
  let samples: Range<Int>

  /// Numbers of each channel.
  var length: Int { columns * samples.count }
}

/// The strips of a convolution for a batch, and the layout of a strip's source.
///
/// The source of a strip is copied, channel by channel: for each row of taps, the columns that any
/// of its taps reads, by phase, `samples` numbers each. A tap is then an offset: no index is computed
/// in the inner loop, the edge of the image is zeros that were written, and reading has no jumps.
struct StripPlan: Sendable {
  /// Taps of rows and of columns, and where each tap begins in a copied channel.
  struct Kind: Sendable {
    let rows: TapClass
    let columns: TapClass
    /// The columns of one phase: from `first` + the strip's column on, `count` more than it has.
    let phases: [(phase: Int, first: Int, extra: Int, start: Int)]
    /// Numbers of a row of taps.
    let rowLength: Int
    /// For each tap, rows first: its offset, and its position in the kernel.
    let offsets: [Int]
    let positions: [Int]

    /// Numbers of a copied channel.
    let channelLength: Int
  }

  let kinds: [Kind]
  let strips: [Strip]
  let batch: Int
  /// Samples and columns of the largest strip.
  let samples: Int
  let columns: Int
  /// Sizes of the source's image.
  let sourceHeight: Int
  let sourceWidth: Int
  let targetWidth: Int
  let targetHeight: Int
  /// Numbers of the longest copied channel of the source.
  let channelLength: Int

  /// - Parameters:
  ///   - length: how long a strip should be, as far as rows are.
  ///   - kernelWidth: positions of the kernel's rows.
  init(
    rows: [TapClass], columns: [TapClass], height: Int, width: Int, batch: Int, length: Int,
    kernelWidth: Int
  ) {
    let parts = (batch + max(length, 128) - 1) / max(length, 128)
    let samples = (batch + parts - 1) / parts
    let wanted = parts > 1 ? 1 : max(1, length / samples)
    let widest = columns.map(\.count).max() ?? 1
    let pieces = (widest + wanted - 1) / wanted
    let most = (widest + pieces - 1) / pieces
    self.batch = batch
    self.samples = samples
    self.columns = most
    sourceHeight = rows[0].sources
    sourceWidth = columns[0].sources
    targetHeight = height
    targetWidth = width
    var kinds: [Kind] = []
    var strips: [Strip] = []
    for rowClass in rows {
      for columnClass in columns {
        kinds.append(
          Kind(
            rows: rowClass, columns: columnClass, most: most, samples: samples,
            kernelWidth: kernelWidth))
        for row in 0..<rowClass.count {
          for column in stride(from: 0, to: columnClass.count, by: most) {
            for first in stride(from: 0, to: batch, by: samples) {
              strips.append(
                Strip(
                  kind: kinds.count - 1, row: row, column: column,
                  columns: min(most, columnClass.count - column),
                  samples: first..<min(first + samples, batch)))
            }
          }
        }
      }
    }
    self.kinds = kinds
    self.strips = strips
    channelLength = kinds.map(\.channelLength).max() ?? 0
  }

  /// Numbers of the longest strip's channel in the target.
  var length: Int { columns * samples }

  /// Where a strip begins in a channel of the target, and how far its columns are apart.
  func target(of strip: Strip) -> (start: Int, step: Int) {
    let kind = kinds[strip.kind]
    let row = kind.rows.target(strip.row)
    let column = kind.columns.target(strip.column)
    return (
      (row * targetWidth + column) * batch + strip.samples.lowerBound, kind.columns.step * batch
    )
  }
}

extension StripPlan.Kind {
  init(rows: TapClass, columns: TapClass, most: Int, samples: Int, kernelWidth: Int) {
    self.rows = rows
    self.columns = columns
    var phases: [(phase: Int, first: Int, extra: Int, start: Int)] = []
    var rowLength = 0
    for phase in Set(columns.taps.map(\.phase)).sorted() {
      let shifts = columns.taps.filter { $0.phase == phase }.map(\.shift)
      let (first, last) = (shifts.min() ?? 0, shifts.max() ?? 0)
      phases.append((phase, first, last - first, rowLength))
      rowLength += (most + last - first) * samples
    }
    self.phases = phases
    self.rowLength = rowLength
    channelLength = rows.taps.count * rowLength
    var offsets: [Int] = []
    var positions: [Int] = []
    for (number, row) in rows.taps.enumerated() {
      for column in columns.taps {
        let place = phases.first { $0.phase == column.phase }
        guard let place else { continue }
        offsets.append(
          number * rowLength + place.start + (column.shift - place.first) * samples)
        positions.append(row.position * kernelWidth + column.position)
      }
    }
    self.offsets = offsets
    self.positions = positions
  }

  /// The taps that a row number has, as numbers of `offsets`.
  func taps(ofRow row: Int) -> Range<Int> {
    let valid = rows.valid(row)
    return valid.lowerBound * columns.taps.count..<valid.upperBound * columns.taps.count
  }
}

extension StripPlan {
  /// Copies the source of a strip: `channels` of them, from the first of `source` on.
  func copy<Element>(
    _ strip: Strip, channels: Int, from source: Vector<Element>, to target: Vector<Element>
  ) {
    let kind = kinds[strip.kind]
    let rows = kind.rows.valid(strip.row)
    let image = sourceHeight * sourceWidth * batch
    for channel in 0..<channels {
      for number in rows {
        guard let row = kind.rows.source(strip.row, kind.rows.taps[number]) else { continue }
        let from = channel * image + row * sourceWidth * batch
        let to = channel * kind.channelLength + number * kind.rowLength
        for phase in kind.phases {
          copy(
            strip, phase.phase, strip.column + phase.first, strip.columns + phase.extra,
            step: kind.columns.sourceStep, from: source, at: from, to: target,
            at: to + phase.start)
        }
      }
    }
  }

  /// Copies `count` columns step * (first + i) + phase of a row, zeros where there are none. Copied
  /// columns are `samples` apart, even where the strip has fewer.
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
