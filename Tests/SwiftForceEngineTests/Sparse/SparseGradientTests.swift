// The gradients of sparse layers against central differences, in Double. What must not live here:
// the loops of CPU levels (SparseComputationTests.swift).

import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

struct SparseGradientTests {
  static let forms = [
    SparseCase(inputs: 3, outputs: 4, image: [4, 3], batch: 3),
    SparseCase(inputs: 2, outputs: 3, stride: 2, image: [5, 4], batch: 18),
    SparseCase(inputs: 2, outputs: 2, kernel: 5, stride: 3, padding: 2, image: [7, 7], batch: 2),
    SparseCase(inputs: 4, outputs: 3, kernel: 1, stride: 2, padding: 0, image: [3, 3], batch: 2),
    SparseCase(
      inputs: 9, outputs: 5, kernel: 1, padding: 0, image: [1, 1], batch: 20, isFlat: true),
  ]

  @Test(arguments: forms)
  func areSlopes(form: SparseCase) throws {
    let bench = try SparseBench<Double>(form, loops: ReferenceSparseTiles<Double>.self)
    bench.run()
    let objective = {
      bench.forward()
      return zip(bench.output.values, bench.outputGradient.values).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let slopes = centralDifferences(of: objective, by: bench.values.all)
    #expect(relativeError(bench.gradient.values, slopes) < 1e-8)
    let places = places(bench.input.count, atMost: 60)
    let inputSlopes = centralDifferences(of: objective, by: bench.input.all, at: places)
    let gradients = bench.inputGradient.values
    #expect(relativeError(places.map { gradients[$0] }, inputSlopes) < 1e-8)
  }
}
