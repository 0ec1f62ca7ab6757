// Sparse layers against their definition, for all kinds of sizes, densities, levels and numbers of
// workers. What must not live here: the definition itself (SparseBench.swift).

import SwiftForceCore
import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

struct SparseComputationTests {
  /// Kernels, strides, paddings and images; densities and batches take turns.
  static let geometries: [SparseCase] = {
    let densities = [0.5, 0.005, 1, 0.1, 0]
    let batches = [1, 7, 16, 17, 33]
    var cases: [SparseCase] = []
    for kernel in [1, 2, 3, 5] {
      for stride in [1, 2, 3] {
        for padding in 0...2 {
          for image in [[1, 1], [2, 2], [3, 5], [7, 7], [8, 8]] {
            let n = cases.count
            let form = SparseCase(
              inputs: 3, outputs: 4, kernel: kernel, stride: stride, padding: padding, image: image,
              batch: batches[n % 5], density: densities[n / 5 % 5])
            if form.isPossible { cases.append(form) }
          }
        }
      }
    }
    return cases
  }()

  /// Numbers of channels around those of a chunk, batches, densities, and flat features.
  static let sizes: [SparseCase] = {
    var cases = [1, 7, 16, 128, 300].map { SparseCase(batch: $0) }
    cases += [0, 1e-9, 0.005, 0.5, 1].flatMap { density in
      [
        SparseCase(inputs: 40, outputs: 24, image: [4, 4], batch: 33, density: density),
        SparseCase(
          inputs: 130, outputs: 70, kernel: 1, padding: 0, image: [1, 1], batch: 130,
          density: density, isFlat: true),
      ]
    }
    cases += [1, 16, 100, 300].map {
      SparseCase(
        inputs: 20, outputs: 30, kernel: 1, padding: 0, image: [1, 1], batch: $0, density: 0.2,
        isFlat: true)
    }
    cases += [
      SparseCase(inputs: 200, outputs: 3, image: [5, 6], batch: 16, density: 1),
      SparseCase(inputs: 61, outputs: 5, image: [8, 8], batch: 16, density: 0.9),
      SparseCase(inputs: 2, outputs: 150, stride: 2, image: [6, 5], batch: 20, density: 0.3),
      SparseCase(
        inputs: 1, outputs: 1, kernel: 1, padding: 0, image: [1, 1], batch: 1, density: 1),
    ]
    return cases
  }()

  /// Regions of large images with many products each read copies, if they are not told otherwise.
  @Test(arguments: CPULevel.available)
  func someLayersCopyWindows(level: CPULevel) throws {
    func copies(_ form: SparseCase) throws -> Bool {
      try SparseBench<Float>(form, loops: level.sparseLoops).weights.forward.plan.copiesWindows
    }
    #expect(try copies(SparseCase(outputs: 60, image: [8, 8], density: 0.7)))
    #expect(try copies(SparseCase(outputs: 200, stride: 2, image: [16, 16], density: 0.7)))
    #expect(try !copies(SparseCase(outputs: 60, image: [8, 8], density: 0.05)))
    #expect(try !copies(SparseCase(outputs: 60, image: [2, 2], density: 1)))
  }

  /// Copies in several chunks, the last of another size.
  @Test func copiesOfSeveralChunksAreTested() throws {
    let form = try #require(SparseComputationTests.sizes.first { $0.inputs == 61 })
    for level in CPULevel.available {
      let plan = try SparseBench<Float>(form, loops: level.sparseLoops, copies: true).weights
        .forward.plan
      #expect(plan.copiesWindows && plan.chunks > 1 && plan.sources % plan.chunk != 0)
    }
  }

  /// Relative to the largest number: sums of a few thousand products in binary32.
  private let tolerance = 1e-5

  @Test(arguments: geometries + sizes)
  func isTheSumOfProducts(form: SparseCase) throws {
    let expected = try SparseBench<Double>(form, loops: ReferenceSparseTiles<Double>.self)
    let definition = expected.definition()
    for level in CPULevel.available {
      for copies in [nil, true] {
        let bench = try SparseBench<Float>(form, loops: level.sparseLoops, copies: copies)
        bench.run()
        for (got, expected) in zip(bench.results, definition) {
          #expect(relativeError(got, expected) < tolerance, "\(level), copies \(copies ?? false)")
        }
        #expect(bench.staysInItsWorkspace, "\(level)")
      }
    }
  }

  /// The plain loops in Double, which the gradients are checked with.
  @Test(arguments: geometries.enumerated().filter { $0.offset % 7 == 0 }.map(\.element))
  func theReferenceIsTheSumOfProducts(form: SparseCase) throws {
    for copies in [nil, true] {
      let bench = try SparseBench<Double>(
        form, loops: ReferenceSparseTiles<Double>.self, copies: copies)
      bench.run()
      for (got, expected) in zip(bench.results, bench.definition()) {
        #expect(relativeError(got, expected) < 1e-14)
      }
    }
  }

  /// The levels take turns, since they divide the work alike.
  @Test(
    arguments: (sizes + geometries.enumerated().filter { $0.offset % 5 == 0 }.map(\.element))
      .enumerated().map { ($0.offset, $0.element) })
  func workersDoNotMatter(number: Int, form: SparseCase) throws {
    let level = CPULevel.available[number % CPULevel.available.count]
    let copies = number % 2 == 0 ? nil : true
    let alone = try SparseBench<Float>(form, loops: level.sparseLoops, copies: copies)
    alone.run()
    for workers in [2, 5] {
      let shared = try SparseBench<Float>(
        form, loops: level.sparseLoops, workers: workers, copies: copies)
      shared.run()
      #expect(shared.results == alone.results, "\(level), \(workers) workers")
      #expect(shared.staysInItsWorkspace, "\(level), \(workers) workers")
    }
  }

  @Test func gradientsAddUp() throws {
    for level in CPULevel.available {
      let bench = try SparseBench<Float>(SparseCase(), loops: level.sparseLoops)
      bench.computeWeightGradient()
      let once = bench.gradient.values
      bench.computeWeightGradient(accumulate: true)
      #expect(relativeError(bench.gradient.values, once.map { 2 * Double($0) }) < tolerance)
    }
  }

  @Test func biasIsOptional() throws {
    for level in CPULevel.available {
      let bench = try SparseBench<Float>(SparseCase(density: 0), loops: level.sparseLoops)
      bench.forward(hasBias: false)
      #expect(areExactZeros(bench.output.values))
    }
  }
}
