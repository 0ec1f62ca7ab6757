// Gradients of a convolution's weights: sums over every place of the image and every sample. What
// must not live here: gradients of inputs.

import SwiftForceCore

/// The products of a source and of the gradients at its outputs, summed over all strips.
///
/// Output channels lie side by side in the registers, so the gradients at the outputs are
/// transposed, strip by strip; the source is copied as for the forward pass. Each number of the
/// result is one sum in the order of the strips, whoever computes it.
struct WeightGradient<Element: BLASScalar> {
  let plan: StripPlan
  /// Channels of the input and of the output.
  let inputs: Int
  let outputs: Int
  /// Positions of the kernel.
  let taps: Int
  let means: Means<Element>

  /// Numbers of a strip that are summed before the sums are put back.
  static var stretch: Int { 256 }

  private var lanes: Int { means.tiles.lanes }
  private var columns: Int { means.tiles.columns }

  /// Outputs, rounded up to whole blocks.
  private var padded: Int { outputs.roundedUp(toMultipleOf: columns) }

  /// What a worker sums at a time: ranges of inputs and of blocks of outputs.
  private struct Share {
    let inputs: Range<Int>
    let blocks: Range<Int>
  }

  /// Output channels that are transposed at a time.
  private var blocksOfPart: Int { max(1, 512 / columns) }

  private var block: Int {
    min(inputs, max(1, StripProduct<Element>.copyLimit / max(1, plan.channelLength)))
  }

  private var copyCount: Int {
    (block * plan.channelLength + 4 * lanes).roundedUp(toMultipleOf: 16)
  }

  private var transposedCount: Int {
    min(padded, blocksOfPart * columns) * plan.length.roundedUp(toMultipleOf: lanes)
  }

  private var squareCount: Int { (lanes * lanes).roundedUp(toMultipleOf: 16) }

  /// Sums for all weights, and a row for each worker that nobody reads.
  private var sumCount: Int { (inputs * taps + means.team.workers) * padded }

  private var workerCount: Int { copyCount + transposedCount + squareCount }

  var workspace: Int { sumCount + means.team.workers * workerCount }

  /// gradient (+)= the sums, as (outputs, inputs, taps).
  func run(
    _ source: Vector<Element>, outputGradient: Vector<Element>, workspace: Vector<Element>,
    accumulate: Bool, into gradient: Vector<Element>
  ) {
    let sums = workspace.part(0..<sumCount)
    sums.clear(0..<sumCount)
    let shares = self.shares
    means.team.forEach(shares.count) { worker, round in
      let start = sumCount + worker * workerCount
      add(
        shares[round], source, outputGradient,
        copy: workspace.part(start..<start + copyCount),
        transposed: workspace.part(start + copyCount..<start + copyCount + transposedCount),
        square: workspace.part(start + workerCount - squareCount..<start + workerCount),
        sums: sums, spare: (inputs * taps + worker) * padded)
    }
    let groups = (outputs + 15) / 16
    means.team.forEach(groups) { _, group in
      let first = group * 16
      let count = min(16, outputs - first)
      gradient.part(first * inputs * taps..<(first + count) * inputs * taps).unpackRows(
        sums.part(first..<sums.count), columnStride: padded, rows: count, columns: inputs * taps,
        accumulate: accumulate)
    }
  }

  /// Few inputs are not divided: outputs are then. (Dividing outputs copies the source again for
  /// each; dividing inputs transposes the gradients again.)
  private var shares: [Share] {
    let workers = means.team.workers
    let blocks = padded / columns
    let inputShares = inputs >= 8 * workers ? workers : 1
    let blockShares = max(
      inputShares > 1 ? 1 : min(workers, blocks), (blocks + blocksOfPart - 1) / blocksOfPart)
    var shares: [Share] = []
    for i in 0..<inputShares {
      for b in 0..<blockShares {
        shares.append(
          Share(
            inputs: inputs * i / inputShares..<inputs * (i + 1) / inputShares,
            blocks: blocks * b / blockShares..<blocks * (b + 1) / blockShares))
      }
    }
    return shares
  }

  private func add(
    _ share: Share, _ source: Vector<Element>, _ outputGradient: Vector<Element>,
    copy: Vector<Element>, transposed: Vector<Element>, square: Vector<Element>,
    sums: Vector<Element>, spare: Int
  ) {
    let image = plan.sourceHeight * plan.sourceWidth * plan.batch
    for strip in plan.strips {
      let kind = plan.kinds[strip.kind]
      let taps = kind.taps(ofRow: strip.row)
      if taps.isEmpty { continue }
      transpose(strip, share.blocks, outputGradient, square: square, into: transposed)
      for first in stride(from: share.inputs.lowerBound, to: share.inputs.upperBound, by: block) {
        let count = min(block, share.inputs.upperBound - first)
        plan.copy(
          strip, channels: count, from: source.part(first * image..<(first + count) * image),
          to: copy)
        let table = TapTable(
          kind, taps, channels: count, first: first, kernel: self.taps, stride: padded,
          group: means.tiles.taps, spare: spare)
        correlate(strip, share.blocks, table, copy, transposed, sums)
      }
    }
  }

  /// Blocks of output gradients, (block, place, channel of the block).
  private func transpose(
    _ strip: Strip, _ blocks: Range<Int>, _ outputGradient: Vector<Element>,
    square: Vector<Element>, into transposed: Vector<Element>
  ) {
    let image = plan.targetHeight * plan.targetWidth * plan.batch
    let start = plan.target(of: strip).start
    let (lanes, columns, length) = (lanes, columns, strip.length)
    for (number, block) in blocks.enumerated() {
      let target = transposed.part(
        number * length.roundedUp(toMultipleOf: lanes) * columns..<transposed.count)
      for column in stride(from: 0, to: columns, by: lanes) {
        let channel = block * columns + column
        for place in stride(from: 0, to: length, by: lanes) {
          let rows = max(0, min(lanes, outputs - channel))
          let width = min(lanes, length - place)
          let at = channel * image + start + place
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
          unsafe means.tiles.transpose(
            from, sourceStride: step, into: target.base + place * columns + column,
            targetStride: columns)
        }
      }
    }
  }

  private func correlate(
    _ strip: Strip, _ blocks: Range<Int>, _ table: TapTable, _ copy: Vector<Element>,
    _ transposed: Vector<Element>, _ sums: Vector<Element>
  ) {
    let tiles = means.tiles
    let rounded = strip.length.roundedUp(toMultipleOf: lanes)
    let columns = columns
    unsafe table.offsets.withUnsafeBufferPointer { offsets in
      unsafe table.positions.withUnsafeBufferPointer { positions in
        guard let offsets = offsets.baseAddress, let positions = positions.baseAddress else {
          return
        }
        for (number, block) in blocks.enumerated() {
          for place in stride(from: 0, to: strip.length, by: WeightGradient.stretch) {
            let count = min(WeightGradient.stretch, strip.length - place)
            for tap in stride(from: 0, to: table.offsets.count, by: tiles.taps) {
              unsafe tiles.correlate(
                copy.base + place, offsets: offsets + tap,
                with: transposed.base + (number * rounded + place) * columns, count: count,
                into: sums.base + block * columns, positions: positions + tap)
            }
          }
        }
      }
    }
  }
}

/// Where the taps of a block of channels are read, and where their sums are.
private struct TapTable {
  var offsets: [Int] = []
  var positions: [Int] = []

  /// - Parameters:
  ///   - stride: numbers between the sums of two taps.
  ///   - group: the length of the table is a multiple of this; what is missing is summed at `spare`.
  init(
    _ kind: StripPlan.Kind, _ taps: Range<Int>, channels: Int, first: Int, kernel: Int,
    stride: Int, group: Int, spare: Int
  ) {
    let count = (channels * taps.count).roundedUp(toMultipleOf: group)
    offsets.reserveCapacity(count)
    positions.reserveCapacity(count)
    for channel in 0..<channels {
      for tap in taps {
        offsets.append(channel * kind.channelLength + kind.offsets[tap])
        positions.append(((first + channel) * kernel + kind.positions[tap]) * stride)
      }
    }
    while offsets.count < count {
      offsets.append(kind.offsets[taps.lowerBound])
      positions.append(spare)
    }
  }
}
