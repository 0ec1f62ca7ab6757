// The layout of activations: where each number lies, and how much memory a batch takes.

import Testing

@testable import SwiftForceEngine

struct ActivationTests {
  static let batches = [1, 7, 15, 16, 17, 100, 128, 300]

  private func activation(_ dimensions: [Int], batch: Int) throws -> (
    Activation<Float>, Arena<Float>
  ) {
    let shape = Shape(dimensions: dimensions)
    let arena = try Arena<Float>(count: shape.features * Shape.padded(batch: batch))
    return (Activation(arena.all, shape: shape, batch: batch), arena)
  }

  /// From 16 samples on, images have blocks of 16, and features one block; fewer samples have no
  /// gap.
  @Test(arguments: batches)
  func lanesFollowFromShapeAndBatch(batch: Int) throws {
    let (image, first) = try activation([2, 3, 1], batch: batch)
    let (features, second) = try activation([6], batch: batch)
    withExtendedLifetime((first, second)) {
      #expect(image.lanes == min(batch, 16))
      #expect(image.blocks == (batch + 15) / 16)
      #expect(features.blocks == 1)
      #expect(features.lanes == (batch < 16 ? batch : (batch + 15) / 16 * 16))
      #expect(image.gap == features.gap)
      #expect((0..<16).contains(image.gap))
      #expect(image.elements.count == image.blocks * image.blockLength)
      #expect((image.matrix == nil) == (batch > 16))
      #expect(features.matrix?.columns == features.lanes)
    }
  }

  @Test(arguments: batches)
  func partsAreThePlacesOfTheirSamples(batch: Int) throws {
    let (image, arena) = try activation([2, 3, 1], batch: batch)
    arena.all.write((0..<arena.count).map { Float($0) })
    for block in 0..<image.blocks {
      let part = image.part(block: block, features: 3..<6).values
      for (lane, sample) in image.samples(ofBlock: block).enumerated() {
        for feature in 0..<3 {
          #expect(part[feature * image.lanes + lane] == Float(image.place(3 + feature, sample)))
        }
      }
    }
    #expect(image.runs(channels: 2, hasGap: true).numbers == 3 * batch)
  }
}
