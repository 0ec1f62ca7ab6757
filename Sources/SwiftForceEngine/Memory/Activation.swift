// The layout of values and gradients between layers. What must not live here: their memory
// (Activations.swift), arithmetic (Operations/).

import SwiftForceKernels

/// A view of what flows between two layers, for samples that are computed together: a value, or the
/// gradient at it.
///
/// Feature f of sample s is element ((s / lanes) * features + f) * lanes + s % lanes. An image has
/// blocks of 16 samples: (blocks, channels, height, width, 16). Features that are no image have one
/// block: (features, lanes). The last block may have lanes without a sample: a *gap*. Values there
/// are finite if those of a sample of zeros are; gradients there are zero.
struct Activation<Element: BitwiseCopyable>: Sendable {
  let features: Int
  let batch: Int
  let lanes: Int
  let elements: Vector<Element>

  init(_ elements: Vector<Element>, shape: Shape, batch: Int) {
    features = shape.features
    self.batch = batch
    lanes = shape.lanes(batch: batch)
    self.elements = elements
    assert(elements.count == features * Shape.padded(batch: batch), "another size")
  }

  var blocks: Int { (batch + lanes - 1) / lanes }

  /// The lanes of the last block that have no sample.
  var gap: Int { blocks * lanes - batch }

  /// Elements of a block.
  var blockLength: Int { features * lanes }

  /// The samples of a block.
  func samples(ofBlock block: Int) -> Range<Int> {
    block * lanes..<min((block + 1) * lanes, batch)
  }

  /// Some of the features of a block, as (features, lanes).
  func part(block: Int, features range: Range<Int>) -> Vector<Element> {
    let start = block * blockLength
    return elements.part(start + range.lowerBound * lanes..<start + range.upperBound * lanes)
  }

  /// A block, as (features, lanes).
  func part(block: Int) -> Vector<Element> { part(block: block, features: 0..<features) }

  /// All elements as (features, lanes); nil if there are several blocks.
  var matrix: Matrix<Element>? {
    blocks == 1 ? elements.matrix(rows: features, columns: lanes) : nil
  }

  /// Where the numbers of a channel lie, from its first one, if all channels have as many features.
  func runs(channels: Int, hasGap: Bool = false) -> ChannelRuns {
    ChannelRuns(
      count: blocks, length: features / channels * lanes, stride: blockLength,
      gap: hasGap ? gap : 0)
  }
}

extension Shape {
  /// How many samples of an image are adjacent, in a batch that is not smaller.
  static let imageLanes = 16

  /// How many samples the memory for a batch has room for. Small batches have no gap, since they
  /// would be computed for nothing.
  static func padded(batch: Int) -> Int {
    batch < imageLanes ? batch : batch.roundedUp(toMultipleOf: imageLanes)
  }

  /// How many samples are adjacent.
  func lanes(batch: Int) -> Int {
    image == nil ? Shape.padded(batch: batch) : min(batch, Shape.imageLanes)
  }
}
