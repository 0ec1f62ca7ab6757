// Outputs of few samples over kept weights against their definition, for all kinds of sizes,
// densities, levels and numbers of workers. What must not live here: larger batches
// (SparseComputationTests.swift).

import SwiftForceCore
import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

/// A sparse layer with random inputs and weights. Memory that it has not written holds NaN.
private final class PlaneBench<Element: BLASScalar> {
  let form: SparseCase
  let output: Arena<Element>
  private let weights: SparseWeights
  private let input: Arena<Element>
  private let values: Arena<Element>
  private let bias: Arena<Element>
  private let workspace: Arena<Element>
  private let product: PlaneProduct<Element>

  init(_ form: SparseCase, loops: any SparseLoops<Element>.Type, workers: Int = 1) throws {
    self.form = form
    let (rows, columns) = (form.rows, form.columns)
    let mask = form.mask()
    let bytes = try Arena(mask)
    weights = try SparseWeights(
      mask: bytes.all, inputs: form.inputs, outputs: form.outputs, rows: rows, columns: columns,
      region: loops.region)
    withExtendedLifetime(bytes) {}
    try weights.preparePlanes()
    product = PlaneProduct(
      weights: weights, lists: try #require(weights.planes), batch: form.batch, loops: loops,
      team: Team(workers: workers))
    // Numbers of few bits, so that both types compute with the same ones.
    func numbers(_ count: Int, _ seed: UInt64) -> [Element] {
      let values: [Double] = uniform(count, seed: seed)
      return values.map { Element(Float(($0 * 1024).rounded() / 1024)) }
    }
    input = try Arena(numbers(form.inputs * rows.inputs * columns.inputs * form.batch, 1))
    bias = try Arena(numbers(form.outputs, 3))
    let dense = numbers(mask.count, 4)
    values = try Arena(weights.positions.values.map { dense[Int($0)] })
    output = try Arena(count: form.outputs * rows.outputs * columns.outputs * form.batch + 64)
    output.all.fill(with: .nan)
    workspace = try Arena(count: PlaneBench.workspace(form) + 64)
    workspace.all.fill(with: .nan)
  }

  private static func workspace(_ form: SparseCase) -> Int {
    PlaneGeometry(rows: form.rows, columns: form.columns).workspace(
      inputs: form.inputs, batch: form.batch)
  }

  func run(hasBias: Bool = true) {
    let source = workspace.vector(at: 0, count: PlaneBench.workspace(form))
    product.run(
      input.all, values: values.all, bias: hasBias ? bias.all : nil, workspace: source,
      into: output.vector(at: 0, count: output.count - 64))
  }

  /// Sets all inputs of a sample of a linear layer.
  func setInputs(of sample: Int, to value: Element) {
    for i in 0..<form.inputs { input.all[i * form.batch + sample] = value }
  }

  var results: [Element] { Array(output.values.dropLast(64)) }

  /// Whether nothing was written behind the output and the workspace.
  var staysInItsMemory: Bool {
    output.values.suffix(64).allSatisfy(\.isNaN) && workspace.values.suffix(64).allSatisfy(\.isNaN)
  }

  /// The output as sums over the kept weights.
  func definition() -> [Double] {
    let (rows, columns, batch) = (form.rows, form.columns, form.batch)
    let (x, b) = (input.values.map { Double($0) }, bias.values.map { Double($0) })
    let size = rows.outputs * columns.outputs
    var y = (0..<form.outputs * size * batch).map { b[$0 / (size * batch)] }
    for (position, value) in zip(weights.positions.values, values.values) {
      let (channels, tap) = Int(position).quotientAndRemainder(
        dividingBy: form.kernel * form.kernel)
      let (o, i) = channels.quotientAndRemainder(dividingBy: form.inputs)
      for out in 0..<size {
        let row = out / columns.outputs * form.stride + tap / form.kernel - form.padding
        let column = out % columns.outputs * form.stride + tap % form.kernel - form.padding
        guard (0..<rows.inputs).contains(row), (0..<columns.inputs).contains(column) else {
          continue
        }
        let from = ((i * rows.inputs + row) * columns.inputs + column) * batch
        for l in 0..<batch { y[(o * size + out) * batch + l] += Double(value) * x[from + l] }
      }
    }
    return y
  }
}

struct PlaneProductTests {
  /// Kernels, strides, paddings and images; densities and batches take turns.
  static let geometries: [SparseCase] = {
    let densities = [0.5, 0.01, 1, 1e-9, 0.1, 0]
    var cases: [SparseCase] = []
    for kernel in [1, 2, 3, 5] {
      for stride in [1, 2, 3, 6] {
        for padding in 0..<kernel {
          for image in [[1, 1], [2, 2], [3, 5], [7, 7], [8, 8], [16, 16], [5, 33]] {
            let n = cases.count
            let form = SparseCase(
              inputs: 3, outputs: 4, kernel: kernel, stride: stride, padding: padding, image: image,
              batch: n % 15 + 1, density: densities[n % 6])
            if form.isPossible { cases.append(form) }
          }
        }
      }
    }
    return cases
  }()

  /// All batches, and layers that are shared among workers.
  static let sizes: [SparseCase] = {
    var cases: [SparseCase] = (1...15).flatMap { batch in
      [
        SparseCase(inputs: 20, outputs: 24, image: [4, 4], batch: batch, density: 0.5),
        SparseCase(
          inputs: 20, outputs: 9, kernel: 1, padding: 0, image: [8, 8], batch: batch, density: 0.3),
        SparseCase(
          inputs: 50, outputs: 30, kernel: 1, padding: 0, image: [1, 1], batch: batch,
          density: 0.2, isFlat: true),
      ]
    }
    cases += [0, 1e-9, 0.01, 0.5, 1].flatMap { density in
      [
        SparseCase(inputs: 40, outputs: 64, image: [16, 16], batch: 3, density: density),
        SparseCase(
          inputs: 40, outputs: 64, stride: 2, image: [15, 16], batch: 2, density: density),
        SparseCase(
          inputs: 600, outputs: 300, kernel: 1, padding: 0, image: [1, 1], batch: 1,
          density: density, isFlat: true),
      ]
    }
    return cases
  }()

  /// Linear layers of all batches with lists of all lengths: empty ones, and those that end within a
  /// register. The last has too many inputs for indices of 16 bits, the one before just as many as fit.
  static let linear: [SparseCase] = {
    let sizes = [(1, 1), (5, 3), (37, 40), (200, 17), (1 << 16, 2), ((1 << 16) + 1, 2)]
    return sizes.enumerated().flatMap { number, size in
      (1...15).map { batch in
        SparseCase(
          inputs: size.0, outputs: size.1, kernel: 1, padding: 0, image: [1, 1], batch: batch,
          density: [0.3, 0.05, 1, 0][(batch + number) % 4] / (size.0 > 1000 ? 100 : 1),
          isFlat: true)
      }
    }
  }()

  /// Linear layers with enough weights to be shared among workers.
  static let large: [SparseCase] = [1, 7].map { batch in
    SparseCase(
      inputs: 1500, outputs: 1400, kernel: 1, padding: 0, image: [1, 1], batch: batch, density: 1,
      isFlat: true)
  }

  /// Relative to the largest number: sums of a few hundred products in binary32.
  private let tolerance = 1e-5

  @Test(arguments: geometries + sizes + linear)
  func isTheSumOfProducts(form: SparseCase) throws {
    let reference = try PlaneBench<Double>(form, loops: ReferenceSparseTiles<Double>.self)
    let definition = reference.definition()
    reference.run()
    #expect(relativeError(reference.results, definition) < 1e-14)
    #expect(reference.staysInItsMemory)
    for level in CPULevel.available {
      let bench = try PlaneBench<Float>(form, loops: level.sparseLoops)
      bench.run()
      #expect(relativeError(bench.results, definition) < tolerance, "\(level)")
      #expect(bench.staysInItsMemory, "\(level)")
    }
  }

  @Test(arguments: sizes + large) func workersDoNotMatter(form: SparseCase) throws {
    for level in CPULevel.available {
      let alone = try PlaneBench<Float>(form, loops: level.sparseLoops)
      alone.run()
      for workers in [2, 5] {
        let shared = try PlaneBench<Float>(form, loops: level.sparseLoops, workers: workers)
        shared.run()
        #expect(shared.results == alone.results, "\(level), \(workers) workers")
        #expect(shared.staysInItsMemory, "\(level), \(workers) workers")
      }
    }
  }

  /// An input that is not finite reaches the outputs that read it, and no others.
  @Test(arguments: 1...15) func samplesAreSeparate(batch: Int) throws {
    for level in CPULevel.available {
      let form = SparseCase(
        inputs: 19, outputs: 23, kernel: 1, padding: 0, image: [1, 1], batch: batch, density: 0.4,
        isFlat: true)
      let plain = try PlaneBench<Float>(form, loops: level.sparseLoops)
      plain.run()
      for sample in 0..<batch {
        let bench = try PlaneBench<Float>(form, loops: level.sparseLoops)
        bench.setInputs(of: sample, to: .nan)
        bench.run()
        for (i, value) in bench.results.enumerated() where i % batch != sample {
          #expect(value == plain.results[i], "\(level), sample \(i % batch)")
        }
        let isNaN = bench.results.map(\.isNaN)
        #expect(isNaN.contains(true))
      }
    }
  }

  @Test func biasIsOptional() throws {
    for level in CPULevel.available {
      let bench = try PlaneBench<Float>(SparseCase(density: 0), loops: level.sparseLoops)
      bench.run(hasBias: false)
      #expect(areExactZeros(bench.results))
    }
  }

  @Test(arguments: [1, 2, 3], [1, 3, 5])
  func rowsSharePadding(stride: Int, kernel: Int) {
    let side = ConvolutionSide(inputs: 7, kernel: kernel, stride: stride, padding: kernel / 2)
    let geometry = PlaneGeometry(rows: side, columns: side)
    if stride == 1 { #expect(geometry.pitch == 7 + kernel / 2) }
    #expect(geometry.pitch >= side.outputs)
    #expect(geometry.isImage == (stride == 1 && kernel == 1))
  }

  @Test func refusesOffsetsOfMoreThan32Bits() {
    let side = ConvolutionSide(inputs: 1 << 12, kernel: 3, stride: 1, padding: 1)
    let geometry = PlaneGeometry(rows: side, columns: side)
    #expect(geometry.supports(inputs: 100))
    #expect(!geometry.supports(inputs: 128))
  }
}
