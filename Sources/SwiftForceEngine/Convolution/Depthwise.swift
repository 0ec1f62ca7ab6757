// Depthwise convolutions. Channels are not summed, so tiles would have nothing to reuse: whole rows
// are added instead. What must not live here: convolutions across channels.

import SwiftForceCore

/// A convolution of each channel with its own kernel.
struct Depthwise {
  let channels: Int
  let rows: ConvolutionSide
  let columns: ConvolutionSide
  let batch: Int

  private var inputImage: Int { rows.inputs * columns.inputs * batch }
  private var outputImage: Int { rows.outputs * columns.outputs * batch }
  private var taps: Int { rows.kernel * columns.kernel }

  func forward<Element: BLASScalar>(
    _ input: Vector<Element>, weights: Vector<Element>, bias: Vector<Element>?, team: Team,
    into output: Vector<Element>
  ) {
    team.forEach(channels) { _, channel in
      let from = input.part(channel * inputImage..<(channel + 1) * inputImage)
      let to = output.part(channel * outputImage..<(channel + 1) * outputImage)
      to.fill(with: bias.map { $0[channel] } ?? 0)
      forEachRun { tap, inputIndex, outputIndex, count in
        to.part(outputIndex..<outputIndex + count).add(
          from.part(inputIndex..<inputIndex + count), times: weights[channel * taps + tap])
      }
    }
  }

  func inputGradient<Element: BLASScalar>(
    _ outputGradient: Vector<Element>, weights: Vector<Element>, team: Team,
    into inputGradient: Vector<Element>
  ) {
    team.forEach(channels) { _, channel in
      let from = outputGradient.part(channel * outputImage..<(channel + 1) * outputImage)
      let to = inputGradient.part(channel * inputImage..<(channel + 1) * inputImage)
      to.clear(0..<to.count)
      forEachRun { tap, inputIndex, outputIndex, count in
        to.part(inputIndex..<inputIndex + count).add(
          from.part(outputIndex..<outputIndex + count), times: weights[channel * taps + tap])
      }
    }
  }

  func weightGradient<Element: BLASScalar>(
    _ input: Vector<Element>, outputGradient: Vector<Element>, team: Team, accumulate: Bool,
    into gradient: Vector<Element>
  ) {
    team.forEach(channels) { _, channel in
      let from = input.part(channel * inputImage..<(channel + 1) * inputImage)
      let channelGradient = outputGradient.part(channel * outputImage..<(channel + 1) * outputImage)
      let to = gradient.part(channel * taps..<(channel + 1) * taps)
      if !accumulate { to.clear(0..<taps) }
      forEachRun { tap, inputIndex, outputIndex, count in
        to[tap] += from.part(inputIndex..<inputIndex + count).dot(
          channelGradient.part(outputIndex..<outputIndex + count))
      }
    }
  }

  /// Calls `body` for every tap and every maximal contiguous run of elements that it reads: the
  /// index of the run in the input image, its index in the output image, and its length.
  private func forEachRun(
    _ body: (_ tap: Int, _ inputIndex: Int, _ outputIndex: Int, _ count: Int) -> Void
  ) {
    let (rowClass, columnClass) = (rows.forward[0], columns.forward[0])
    let isDense = columnClass.sourceStep == 1
    for row in 0..<rowClass.count {
      for rowTap in rowClass.taps {
        guard let source = rowClass.source(row, rowTap) else { continue }
        for columnTap in columnClass.taps {
          let tap = rowTap.position * columns.kernel + columnTap.position
          let read = (0..<columnClass.count).filter { columnClass.source($0, columnTap) != nil }
          guard let first = read.first else { continue }
          for column in isDense ? [first] : read {
            let from = columnClass.source(column, columnTap) ?? 0
            body(
              tap, (source * columns.inputs + from) * batch,
              (row * columns.outputs + column) * batch, (isDense ? read.count : 1) * batch)
          }
        }
      }
    }
  }
}
