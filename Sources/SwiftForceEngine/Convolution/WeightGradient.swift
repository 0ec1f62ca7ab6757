// Gradients of a convolution's weights: sums over all image positions and samples. What must not
// live here: gradients of inputs (StripProduct.swift).

import SwiftForceCore

/// The products of a source and the output gradients, summed over all strips.
///
/// Output channels are adjacent in registers, so output gradients are transposed strip by strip.
/// The source is copied as in the forward pass. Each element of the result is one sum in the order
/// of the strips, whatever thread computes it.
struct WeightGradient<Element: BLASScalar> {
  let plan: StripPlan
  /// The numbers of input and output channels.
  let inputs: Int
  let outputs: Int
  /// The number of positions of the kernel.
  let taps: Int
  let context: ExecutionContext<Element>

  /// How many elements of a strip are summed in registers before the sums are stored.
  static var segment: Int { 256 }

  private var lanes: Int { context.tiles.lanes }
  private var columns: Int { context.tiles.columns }

  /// The number of output channels, rounded up to whole blocks.
  private var padded: Int { outputs.roundedUp(toMultipleOf: columns) }

  /// What a worker computes at a time: ranges of input channels and of blocks of output channels.
  private struct WorkItem {
    let inputs: Range<Int>
    let blocks: Range<Int>
  }

  /// The largest number of blocks of output channels that are transposed at a time.
  private var maximumBlocks: Int { max(1, 512 / columns) }

  private var block: Int {
    min(inputs, max(1, StripProduct<Element>.copyLimit / max(1, plan.channelLength)))
  }

  private var copyCount: Int {
    (block * plan.channelLength + 4 * lanes).roundedUp(toMultipleOf: 16)
  }

  private var transposedCount: Int {
    min(padded, maximumBlocks * columns) * plan.length.roundedUp(toMultipleOf: lanes)
  }

  private var squareCount: Int { (lanes * lanes).roundedUp(toMultipleOf: 16) }

  /// Sums for all weights, and for each worker a row of sums that is discarded.
  private var sumCount: Int { (inputs * taps + context.team.workers) * padded }

  private var workerCount: Int { copyCount + transposedCount + squareCount }

  var workspace: Int { sumCount + context.team.workers * workerCount }

  /// The bytes of the tables of one worker, at most: of taps, and of a block of channels.
  static func tables(_ taps: Int) -> Int {
    3 * 16 * (StripProduct<Element>.copyLimit + 2 * taps + 64)
  }

  /// Sets the gradient, (outputs, inputs, taps), to the sums, or adds them.
  func run(
    _ source: Vector<Element>, outputGradient: Vector<Element>, workspace: Vector<Element>,
    accumulate: Bool, into gradient: Vector<Element>
  ) {
    let sums = workspace.part(0..<sumCount)
    sums.clear(0..<sumCount)
    let workItems = self.workItems
    context.team.forEach(workItems.count) { worker, round in
      let start = sumCount + worker * workerCount
      add(
        workItems[round], source, outputGradient,
        copy: workspace.part(start..<start + copyCount),
        transposed: workspace.part(start + copyCount..<start + copyCount + transposedCount),
        square: workspace.part(start + workerCount - squareCount..<start + workerCount),
        sums: sums, unused: (inputs * taps + worker) * padded)
    }
    let groups = (outputs + 15) / 16
    context.team.forEach(groups) { _, group in
      let first = group * 16
      let count = min(16, outputs - first)
      gradient.part(first * inputs * taps..<(first + count) * inputs * taps).unpackRows(
        sums.part(first..<sums.count), columnStride: padded, rows: count, columns: inputs * taps,
        accumulate: accumulate)
    }
  }

  /// Divides the inputs among the workers if there are enough of them, else the outputs. Each part
  /// of the outputs copies the source again; each part of the inputs transposes the gradients
  /// again.
  private var workItems: [WorkItem] {
    let workers = context.team.workers
    let blocks = padded / columns
    let inputParts = inputs >= 8 * workers ? workers : 1
    let blockParts = max(
      inputParts > 1 ? 1 : min(workers, blocks), (blocks + maximumBlocks - 1) / maximumBlocks)
    var workItems: [WorkItem] = []
    for i in 0..<inputParts {
      for b in 0..<blockParts {
        workItems.append(
          WorkItem(
            inputs: inputs * i / inputParts..<inputs * (i + 1) / inputParts,
            blocks: blocks * b / blockParts..<blocks * (b + 1) / blockParts))
      }
    }
    return workItems
  }

  private func add(
    _ item: WorkItem, _ source: Vector<Element>, _ outputGradient: Vector<Element>,
    copy: Vector<Element>, transposed: Vector<Element>, square: Vector<Element>,
    sums: Vector<Element>, unused: Int
  ) {
    for strip in plan.strips {
      let layout = plan.layouts[strip.layout]
      let taps = layout.taps(ofRow: strip.row)
      if taps.isEmpty { continue }
      transpose(strip, item.blocks, outputGradient, square: square, into: transposed)
      for first in stride(from: item.inputs.lowerBound, to: item.inputs.upperBound, by: block) {
        let count = min(block, item.inputs.upperBound - first)
        plan.copy(strip, channels: first..<first + count, from: source, to: copy, context)
        let table = TapTable(
          layout, taps, channels: count, first: first, kernel: self.taps, stride: padded,
          group: context.tiles.taps, unused: unused)
        correlate(strip, item.blocks, table, copy, transposed, sums)
      }
    }
  }

  /// Writes blocks of output gradients as (block, position, channel of the block).
  private func transpose(
    _ strip: Strip, _ blocks: Range<Int>, _ outputGradient: Vector<Element>,
    square: Vector<Element>, into transposed: Vector<Element>
  ) {
    let image = plan.target.channel
    let start = plan.place(of: strip).start
    let (lanes, columns, length) = (lanes, columns, plan.length(of: strip))
    for (number, block) in blocks.enumerated() {
      let target = transposed.part(
        number * length.roundedUp(toMultipleOf: lanes) * columns..<transposed.count)
      for column in stride(from: 0, to: columns, by: lanes) {
        let channel = block * columns + column
        for position in stride(from: 0, to: length, by: lanes) {
          let rows = max(0, min(lanes, outputs - channel))
          let width = min(lanes, length - position)
          let at = start + channel * image + place(position, in: strip)
          var from = unsafe outputGradient.base + (rows > 0 ? at : 0)
          var step = image
          if rows < lanes || width < lanes {
            square.clear(0..<square.count)
            for row in 0..<rows {
              square.copy(
                outputGradient, at + row * image..<at + row * image + width, to: row * lanes)
            }
            unsafe from = square.base
            step = lanes
          }
          unsafe context.tiles.transpose(
            from, sourceStride: step, into: target.base + position * columns + column,
            targetStride: columns)
        }
      }
    }
  }

  /// Where a number of a strip lies in a channel of the target. As many as a vector has follow it,
  /// if the strip has as many: in one block, columns are adjacent, and several blocks have 16
  /// samples each, a multiple of every vector.
  private func place(_ position: Int, in strip: Strip) -> Int {
    let blocks = strip.blocks.count
    if blocks == 1 { return position }
    let (piece, sample) = position.quotientAndRemainder(dividingBy: plan.lanes)
    return piece / blocks * plan.lanes + piece % blocks * plan.target.block + sample
  }

  private func correlate(
    _ strip: Strip, _ blocks: Range<Int>, _ table: TapTable, _ copy: Vector<Element>,
    _ transposed: Vector<Element>, _ sums: Vector<Element>
  ) {
    let tiles = context.tiles
    let length = plan.length(of: strip)
    let rounded = length.roundedUp(toMultipleOf: lanes)
    let columns = columns
    unsafe table.offsets.withUnsafeBufferPointer { offsets in
      unsafe table.positions.withUnsafeBufferPointer { positions in
        guard let offsets = offsets.baseAddress, let positions = positions.baseAddress else {
          return
        }
        for (number, block) in blocks.enumerated() {
          for position in stride(from: 0, to: length, by: WeightGradient.segment) {
            let count = min(WeightGradient.segment, length - position)
            for tap in stride(from: 0, to: table.offsets.count, by: tiles.taps) {
              unsafe tiles.correlate(
                copy.base + position, offsets: offsets + tap,
                with: transposed.base + (number * rounded + position) * columns, count: count,
                into: sums.base + block * columns, positions: positions + tap)
            }
          }
        }
      }
    }
  }
}

/// For a block of channels: where each tap is read, and where its sums are stored.
private struct TapTable {
  var offsets: [Int] = []
  var positions: [Int] = []

  /// - Parameters:
  ///   - stride: the distance between the sums of two taps.
  ///   - group: the length of the table is rounded up to a multiple of this.
  ///   - unused: where the sums of the additional entries are stored.
  init(
    _ layout: StripPlan.SourceLayout, _ taps: Range<Int>, channels: Int, first: Int, kernel: Int,
    stride: Int, group: Int, unused: Int
  ) {
    let count = (channels * taps.count).roundedUp(toMultipleOf: group)
    offsets.reserveCapacity(count)
    positions.reserveCapacity(count)
    for channel in 0..<channels {
      for tap in taps {
        offsets.append(channel * layout.channelLength + layout.offsets[tap])
        positions.append(((first + channel) * kernel + layout.positions[tap]) * stride)
      }
    }
    while offsets.count < count {
      offsets.append(layout.offsets[taps.lowerBound])
      positions.append(unused)
    }
  }
}
