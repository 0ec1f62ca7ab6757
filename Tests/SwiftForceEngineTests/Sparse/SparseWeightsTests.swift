// What is compiled from a mask: positions, lists, points. What must not live here: computations.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct SparseWeightsTests {
  static let forms = [
    SparseCase(), SparseCase(density: 0), SparseCase(density: 1e-9), SparseCase(density: 1),
    SparseCase(inputs: 70, outputs: 20, stride: 2, image: [9, 8]),
    SparseCase(inputs: 100, outputs: 9, kernel: 1, padding: 0, image: [1, 1], isFlat: true),
  ]

  @Test(arguments: forms)
  func listsEachKeptWeightOnce(form: SparseCase) throws {
    let bench = try SparseBench<Float>(form, loops: CPULevel.v2.sparseLoops)
    let kept = bench.mask.indices.filter { bench.mask[$0] != 0 }
    #expect(bench.weights.count == kept.count)
    #expect(bench.weights.positions.values.map(Int.init).sorted() == kept)
    let indices = bench.weights.backward.flatMap { $0.order.values.map(Int.init) }
    #expect(indices.sorted() == Array(0..<kept.count))
  }

  @Test(arguments: forms)
  func packsAndUnpacks(form: SparseCase) throws {
    let bench = try SparseBench<Float>(form, loops: CPULevel.supported.sparseLoops, workers: 2)
    let dense = try bench.unpacked()
    for (value, keep) in zip(dense, bench.mask) where keep == 0 {
      #expect(value == 0 && value.sign == .plus)
    }
    let positions = bench.weights.positions.values
    #expect(positions.map { dense[Int($0)] } == bench.values.values)
    #expect(try bench.packed(dense) == bench.values.values)
  }

  @Test func saysHowManyBytesItTakes() throws {
    let all = try SparseBench<Float>(
      SparseCase(inputs: 64, outputs: 64, density: 1), loops: CPULevel.v2.sparseLoops)
    // Two lists of two numbers for each weight, and less than as much for where groups begin.
    let weights = 64 * 64 * 9
    #expect(all.weights.bytes >= 16 * weights && all.weights.bytes < 32 * weights)
    let few = try SparseBench<Float>(
      SparseCase(inputs: 64, outputs: 64, density: 0.01), loops: CPULevel.v2.sparseLoops)
    #expect(few.weights.bytes < all.weights.bytes / 20)
  }

  @Test func refusesLayersThatAreTooLarge() {
    func supports(_ inputs: Int, _ outputs: Int, kernel: Int, image: Int) -> Bool {
      let side = ConvolutionSide(inputs: image, kernel: kernel, stride: 1, padding: kernel / 2)
      return SparseWeights.supports(inputs: inputs, outputs: outputs, rows: side, columns: side)
    }
    #expect(supports(512, 512, kernel: 3, image: 64))
    #expect(supports(25088, 4096, kernel: 1, image: 1))
    #expect(!supports(1 << 15, 1 << 15, kernel: 1, image: 1))
    #expect(!supports(64, 64, kernel: 3, image: 1 << 13))
    #expect(!supports(64, 64, kernel: 1 << 40, image: 1 << 41))
  }

  /// Each position of an image is one point, and points with different valid taps are apart.
  @Test(arguments: [1, 2, 3], [1, 3, 5])
  func pointsCoverTheImage(stride: Int, kernel: Int) {
    let rows = ConvolutionSide(inputs: 7, kernel: kernel, stride: stride, padding: kernel / 2)
    let columns = ConvolutionSide(inputs: 4, kernel: kernel, stride: stride, padding: kernel / 2)
    let forward = SparsePoints(
      rows: rows.forward[0], columns: columns.forward[0], targetWidth: columns.outputs)
    #expect(forward.targets.map(Int.init).sorted() == Array(0..<rows.outputs * columns.outputs))
    let backward = rows.backward.flatMap { row in
      columns.backward.map { SparsePoints(rows: row, columns: $0, targetWidth: 4) }
    }
    #expect(backward.flatMap { $0.targets.map(Int.init) }.sorted() == Array(0..<28))
  }
}
