// Convolutions of each channel by itself: no channel is summed with another, so there is nothing for a
// tile to share, and rows are added as they are. What must not live here: convolutions across
// channels.

import SwiftForceCore

/// A convolution of each channel with a kernel of its own.
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
      forEachRun { tap, inside, outside, count in
        to.part(outside..<outside + count).add(
          from.part(inside..<inside + count), times: weights[channel * taps + tap])
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
      forEachRun { tap, inside, outside, count in
        to.part(inside..<inside + count).add(
          from.part(outside..<outside + count), times: weights[channel * taps + tap])
      }
    }
  }

  func weightGradient<Element: BLASScalar>(
    _ input: Vector<Element>, outputGradient: Vector<Element>, team: Team, accumulate: Bool,
    into gradient: Vector<Element>
  ) {
    team.forEach(channels) { _, channel in
      let from = input.part(channel * inputImage..<(channel + 1) * inputImage)
      let slopes = outputGradient.part(channel * outputImage..<(channel + 1) * outputImage)
      let to = gradient.part(channel * taps..<(channel + 1) * taps)
      if !accumulate { to.clear(0..<taps) }
      forEachRun { tap, inside, outside, count in
        to[tap] += from.part(inside..<inside + count).dot(slopes.part(outside..<outside + count))
      }
    }
  }

  /// Calls `body` for every tap and every longest run of numbers that it reads: where they begin in
  /// the input's image and in the output's, and how many there are.
  private func forEachRun(_ body: (_ tap: Int, _ inside: Int, _ outside: Int, _ count: Int) -> Void)
  {
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
