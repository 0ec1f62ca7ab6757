// Depthwise convolutions. Channels are not summed, so tiles would have nothing to reuse: whole rows
// are added instead. What must not live here: convolutions across channels.

import SwiftForceCore
import SwiftForceKernels

/// A convolution of each channel with its own kernel.
struct Depthwise {
  let channels: Int
  let rows: ConvolutionSide
  let columns: ConvolutionSide

  private var taps: Int { rows.kernel * columns.kernel }

  /// The bytes of the list of runs, at most: a list that grows takes up to three times what it
  /// holds.
  static func tables(_ rows: ConvolutionSide, _ columns: ConvolutionSide) -> Int {
    // In binary64, and no more than any memory: images and kernels may be very large.
    let runs = Double(rows.outputs) * Double(rows.kernel * columns.kernel)
    return Int(min(3 * runs * Double(MemoryLayout<TapRun>.stride) + 1024, 0x1p58))
  }

  func forward<Element: BLASScalar>(
    _ input: Activation<Element>, weights: Vector<Element>, bias: Vector<Element>?, team: Team,
    into output: Activation<Element>
  ) {
    let runs = makeRuns()
    output.forEachPart(channels: channels, team: team) { block, channel in
      let to = output.part(block: block, channel: channel, of: channels)
      to.fill(with: bias.map { $0[channel] } ?? 0)
      to.addTaps(
        input.part(block: block, channel: channel, of: channels), weights: kernel(channel, weights),
        runs, step: columns.stride, lanes: input.lanes)
    }
  }

  func inputGradient<Element: BLASScalar>(
    _ outputGradient: Activation<Element>, weights: Vector<Element>, team: Team,
    into inputGradient: Activation<Element>
  ) {
    let runs = makeRuns()
    inputGradient.forEachPart(channels: channels, team: team) { block, channel in
      let to = inputGradient.part(block: block, channel: channel, of: channels)
      to.clear(0..<to.count)
      to.addTransposedTaps(
        outputGradient.part(block: block, channel: channel, of: channels),
        weights: kernel(channel, weights), runs, step: columns.stride, lanes: inputGradient.lanes)
    }
  }

  func weightGradient<Element: BLASScalar>(
    _ input: Activation<Element>, outputGradient: Activation<Element>, team: Team,
    accumulate: Bool, into gradient: Vector<Element>
  ) {
    let runs = makeRuns()
    team.forEach(channels) { _, channel in
      let to = kernel(channel, gradient)
      if !accumulate { to.clear(0..<taps) }
      for block in 0..<input.blocks {
        to.addTapProducts(
          input.part(block: block, channel: channel, of: channels),
          outputGradient: outputGradient.part(block: block, channel: channel, of: channels),
          runs, step: columns.stride, lanes: input.lanes)
      }
    }
  }

  private func kernel<Element>(
    _ channel: Int, _ weights: Vector<Element>
  ) -> Vector<Element> {
    weights.part(channel * taps..<(channel + 1) * taps)
  }

  /// The columns that each tap reads, for every row of the output.
  private func makeRuns() -> [TapRun] {
    let (rowClass, columnClass) = (rows.forward[0], columns.forward[0])
    var runs: [TapRun] = []
    for row in 0..<rowClass.count {
      for rowTap in rowClass.taps {
        guard let source = rowClass.source(row, rowTap) else { continue }
        for columnTap in columnClass.taps {
          let range = columnClass.targets(columnTap)
          guard let first = range.first, let from = columnClass.source(first, columnTap) else {
            continue
          }
          runs.append(
            TapRun(
              tap: rowTap.position * columns.kernel + columnTap.position,
              input: source * columns.inputs + from, output: row * columns.outputs + first,
              columns: range.count))
        }
      }
    }
    return runs
  }
}
