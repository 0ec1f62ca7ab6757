// The kernels' loops as operations on activations, and on channels of them. What must not live
// here: the loops themselves (SwiftForceKernels), and operations on plain vectors
// (VectorOperations).

import SwiftForceCore
import SwiftForceKernels

extension Activation where Element: BLASScalar {
  /// Writes the features of every sample, sample by sample.
  func writeSamples(to target: Vector<Element>) {
    assert(target.count == features * batch, "a vector of another size")
    for block in 0..<blocks {
      let samples = samples(ofBlock: block)
      unsafe Element.gatherTransposed(
        part(block: block).base, sourceStride: lanes, features: samples.count, rows: nil,
        count: features, into: target.base + samples.lowerBound * features, targetStride: features)
    }
  }

  /// Copies an activation with as many features and samples, which may have other lanes.
  func assign(_ other: Activation<Element>, _ context: ExecutionContext<Element>) {
    assert(other.features == features && other.batch == batch, "activations of different sizes")
    let pieces = Shape.padded(batch: batch) / min(lanes, other.lanes)
    let step = 256
    context.team.forEach((features + step - 1) / step) { _, round in
      let range = round * step..<min((round + 1) * step, features)
      unsafe context.tiles.copy(
        other.elements.base + range.lowerBound * other.lanes,
        strides: other.strides(pieces: pieces),
        into: elements.base + range.lowerBound * lanes, strides: strides(pieces: pieces),
        channels: 1, columns: range.count, blocks: pieces, lanes: min(lanes, other.lanes),
        zeros: (0, 0))
    }
  }

  /// Distances of features, and of pieces of samples.
  private func strides(pieces: Int) -> (channel: Int, column: Int, block: Int) {
    (0, lanes, blocks == pieces ? blockLength : lanes / pieces)
  }

  /// One of `count` channels, from its first number on.
  func channel(_ number: Int, of count: Int) -> Channel<Element> {
    let start = features / count * number * lanes
    return Channel(
      elements: elements.part(start..<elements.count),
      runs: runs(channels: count, hasGap: true))
  }

  /// Sets some of `count` channels to those of `source`, normalised by running statistics.
  ///
  /// - Parameters:
  ///   - rectifies: whether negative results become 0.
  ///   - inverse: set to 1 / deviation of these channels.
  func normalize(
    _ source: Activation<Element>, channels: Range<Int>, of count: Int, mean: Vector<Element>,
    variance: Vector<Element>, epsilon: Double, scale: Vector<Element>, shift: Vector<Element>,
    rectifies: Bool, inverse: Vector<Element>
  ) {
    let (first, stride) = (channels.lowerBound, features / count * lanes)
    unsafe Element.normalize(
      source.elements.base + first * stride, channels: channels.count, stride: stride,
      mean: mean.base + first, variance: variance.base + first, epsilon: epsilon,
      scale: scale.base + first, shift: shift.base + first, rectifies: rectifies,
      runs: runs(channels: count, hasGap: true), inverse: inverse.base + first,
      into: elements.base + first * stride)
  }

  /// Calls `body` with ranges of `count` channels, on the threads of the team: a few channels at a
  /// time if they are short.
  func forEachRange(channels count: Int, team: Team, _ body: (_ channels: Range<Int>) -> Void) {
    let step = max(1, (1 << 12) * count / max(1, elements.count))
    team.forEach((count + step - 1) / step) { _, round in
      body(round * step..<min((round + 1) * step, count))
    }
  }

  /// Calls `body` for each block and each of `count` channels, on the threads of the team.
  func forEachPart(
    channels count: Int, team: Team, _ body: (_ block: Int, _ channel: Int) -> Void
  ) {
    let blocks = blocks
    team.forEach(blocks * count) { _, round in body(round / count, round % count) }
  }

  /// One of `count` channels of a block: its positions, with `lanes` samples each.
  func part(block: Int, channel: Int, of count: Int) -> Vector<Element> {
    let size = features / count
    return part(block: block, features: channel * size..<(channel + 1) * size)
  }
}

/// The numbers of one channel.
struct Channel<Element: BLASScalar> {
  let elements: Vector<Element>
  let runs: ChannelRuns

  /// The mean and the biased variance.
  var moments: (mean: Double, variance: Double) {
    unsafe Element.moments(elements.base, runs: runs)
  }

  /// Sets this to (source - mean) * factor + shift, and negative numbers to 0 if it is to be
  /// rectified; may be the source.
  func assignNormalized(
    _ source: Channel<Element>, mean: Element, factor: Element, shift: Element, rectifies: Bool
  ) {
    unsafe Element.normalize(
      source.elements.base, mean: mean, factor: factor, shift: shift, rectifies: rectifies,
      runs: runs, into: elements.base)
  }

  /// The sums of these gradients, and of their products with source - mean.
  ///
  /// - Parameter rectified: the factor and the shift of outputs that were rectified.
  func normalizationSums(
    _ source: Channel<Element>, mean: Element, rectified: (factor: Element, shift: Element)?
  ) -> (gradients: Double, products: Double) {
    unsafe Element.normalizationSums(
      elements.base, source.elements.base, mean: mean, rectified: rectified, runs: runs)
  }

  /// Sets this to gradient * factor - ((source - mean) * slope + shift); may be the gradient.
  func assignNormalizationGradient(
    _ gradient: Channel<Element>, _ source: Channel<Element>, mean: Element, factor: Element,
    slope: Element, shift: Element, rectified: (factor: Element, shift: Element)?
  ) {
    unsafe Element.normalizationGradient(
      gradient.elements.base, source.elements.base, mean: mean, factor: factor, slope: slope,
      shift: shift, rectified: rectified, runs: runs, into: elements.base)
  }
}
