// A test bench for one sparse layer: a mask, random numbers, all memory, and the sums of products
// that define what it computes. What must not live here: expected results of particular layers.

import SwiftForceCore
import SwiftForceKernels
import Testing

@testable import SwiftForceEngine

/// The sizes of a layer, which of its weights are kept, and the samples that it gets.
struct SparseCase: Sendable, CustomTestStringConvertible {
  var inputs = 3
  var outputs = 4
  var kernel = 3
  var stride = 1
  var padding = 1
  var image = [4, 3]
  var batch = 5
  var density = 0.5
  /// Whether the activations are flat features instead of images.
  var isFlat = false

  var rows: ConvolutionSide { side(image[0]) }
  var columns: ConvolutionSide { side(image[1]) }

  private func side(_ inputs: Int) -> ConvolutionSide {
    ConvolutionSide(inputs: inputs, kernel: kernel, stride: stride, padding: padding)
  }

  /// Whether the kernel fits into the padded image.
  var isPossible: Bool { image.allSatisfy { $0 + 2 * padding >= kernel } }

  var testDescription: String {
    let size = "\(inputs) to \(outputs), kernel \(kernel), stride \(stride), padding \(padding)"
    return "\(size), \(image[0]) by \(image[1]), batch \(batch), density \(density), \(isFlat)"
  }

  /// A byte for each weight. A density below one weight keeps one, unless it is zero.
  func mask(seed: UInt64 = 9) -> [UInt8] {
    let count = inputs * outputs * kernel * kernel
    var generator = Generator(seed: seed)
    var mask = (0..<count).map { _ in UInt8(generator.nextUniform() < density ? 1 : 0) }
    if density > 0 && !mask.contains(1) { mask[Int(generator.next() % UInt64(count))] = 1 }
    return mask
  }
}

/// A sparse layer with random inputs, weights and gradients of its outputs. Memory that it has not
/// written holds NaN.
final class SparseBench<Element: BLASScalar> {
  let form: SparseCase
  let mask: [UInt8]
  let weights: SparseWeights
  let batch: SparseBatch
  let input: Arena<Element>
  let values: Arena<Element>
  let bias: Arena<Element>
  let output: Arena<Element>
  let outputGradient: Arena<Element>
  let inputGradient: Arena<Element>
  let gradient: Arena<Element>
  private let workspace: Arena<Element>
  private let scratch: Arena<Element>
  private let computation: SparseComputation<Element>

  /// - Parameter copies: whether what regions read is copied; nil: where that pays.
  init(
    _ form: SparseCase, loops: any SparseLoops<Element>.Type, workers: Int = 1, copies: Bool? = nil
  ) throws {
    self.form = form
    mask = form.mask()
    batch = SparseBatch(samples: form.batch, isFlat: form.isFlat)
    let (rows, columns) = (form.rows, form.columns)
    let bytes = try Arena(mask)
    var region = loops.region
    region.copies = copies
    weights = try SparseWeights(
      mask: bytes.all, inputs: form.inputs, outputs: form.outputs, rows: rows, columns: columns,
      region: region)
    let windows = weights.windowElements * workers
    scratch = try Arena(count: windows + 64)
    computation = SparseComputation(
      weights: weights, batch: batch, loops: loops, team: Team(workers: workers),
      scratch: scratch.vector(at: 0, count: windows))
    let sizes = [
      batch.elements(features: form.inputs * rows.inputs * columns.inputs),
      batch.elements(features: form.outputs * rows.outputs * columns.outputs),
    ]
    // Numbers of few bits, so that both types compute with the same ones.
    func numbers(_ count: Int, _ seed: UInt64) -> [Element] {
      let values: [Double] = uniform(count, seed: seed)
      return values.map { Element(Float(($0 * 1024).rounded() / 1024)) }
    }
    input = try Arena(numbers(sizes[0], 1))
    outputGradient = try Arena(numbers(sizes[1], 2))
    bias = try Arena(numbers(form.outputs, 3))
    // The order of the compact array may differ between loops.
    let dense = numbers(mask.count, 4)
    values = try Arena(weights.positions.values.map { dense[Int($0)] })
    output = try Arena(count: sizes[1])
    inputGradient = try Arena(count: sizes[0])
    gradient = try Arena(count: weights.count)
    workspace = try Arena(count: computation.workspace + 64)
    for arena in [output, inputGradient, gradient] { arena.all.fill(with: .nan) }
    for arena in [workspace, scratch] { arena.all.fill(with: -77) }
    withExtendedLifetime(bytes) {}
  }

  func forward(hasBias: Bool = true) {
    computation.forward(
      input.all, values: values.all, bias: hasBias ? bias.all : nil, into: output.all)
  }

  func computeInputGradient() {
    computation.inputGradient(
      outputGradient.all, values: values.all,
      workspace: workspace.vector(at: 0, count: computation.workspace), into: inputGradient.all)
  }

  func computeWeightGradient(accumulate: Bool = false) {
    computation.weightGradient(
      input.all, outputGradient: outputGradient.all, accumulate: accumulate, into: gradient.all)
  }

  func run() {
    forward()
    computeInputGradient()
    computeWeightGradient()
  }

  /// Everything that `run` computes, the gradient of the weights in the order of the dense array.
  var results: [[Element]] {
    [output.values, inputGradient.values, inDenseOrder(gradient.values)]
  }

  private func inDenseOrder<Number>(_ compact: [Number]) -> [Number] {
    zip(weights.positions.values, compact).sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// The compact array as a dense one, and back.
  func unpacked() throws -> [Element] {
    let dense = try Arena([Element](repeating: .nan, count: mask.count))
    computation.unpack(values.all, into: dense.all)
    return dense.values
  }

  func packed(_ dense: [Element]) throws -> [Element] {
    let source = try Arena(dense)
    let target = try Arena([Element](repeating: .nan, count: weights.count))
    computation.pack(source.all, into: target.all)
    withExtendedLifetime(source) {}
    return target.values
  }

  /// Whether no more scratch memory was written than asked for.
  var staysInItsWorkspace: Bool {
    [(workspace, computation.workspace), (scratch, computation.scratch.count)].allSatisfy {
      $0.vector(at: $1, count: 64).values.allSatisfy { $0 == -77 }
    }
  }

  /// Output, gradient of the inputs, and gradient of the kept weights, as sums over
  /// the dense weights that the mask keeps.
  func definition() -> [[Double]] {
    let (rows, columns, kernel) = (form.rows, form.columns, form.kernel)
    let place = { (features: Int, feature: Int, sample: Int) in
      (sample / self.batch.lanes * features + feature) * self.batch.lanes
        + sample % self.batch.lanes
    }
    let inputSize = rows.inputs * columns.inputs
    let outputSize = rows.outputs * columns.outputs
    let samples = output.count / (form.outputs * outputSize)
    let (x, g) = (input.values.map { Double($0) }, outputGradient.values.map { Double($0) })
    let (w, positions) = (values.values.map { Double($0) }, weights.positions.values)
    var y = [Double](repeating: 0, count: output.count)
    var dx = [Double](repeating: 0, count: input.count)
    var dw = [Double](repeating: 0, count: weights.count)
    let b = bias.values.map { Double($0) }
    for feature in 0..<form.outputs * outputSize {
      for sample in 0..<samples {
        y[place(form.outputs * outputSize, feature, sample)] = b[feature / outputSize]
      }
    }
    for (number, position) in positions.enumerated() {
      let (channels, tap) = Int(position).quotientAndRemainder(dividingBy: kernel * kernel)
      let (o, i) = channels.quotientAndRemainder(dividingBy: form.inputs)
      for out in 0..<outputSize {
        let row = out / columns.outputs * form.stride + tap / kernel - form.padding
        let column = out % columns.outputs * form.stride + tap % kernel - form.padding
        guard (0..<rows.inputs).contains(row), (0..<columns.inputs).contains(column) else {
          continue
        }
        let (input, output) = (i * inputSize + row * columns.inputs + column, o * outputSize + out)
        for block in stride(from: 0, to: samples, by: batch.lanes) {
          let from = place(form.inputs * inputSize, input, block)
          let to = place(form.outputs * outputSize, output, block)
          dw[number] += addProducts(w[number], x, from, g, to, &y, &dx, count: batch.lanes)
        }
      }
    }
    return [y, dx, inDenseOrder(dw)]
  }
}

/// Adds weight * x to y and weight * g to dx; returns the sum of x * g.
private func addProducts(
  _ weight: Double, _ x: [Double], _ from: Int, _ g: [Double], _ to: Int, _ y: inout [Double],
  _ dx: inout [Double], count: Int
) -> Double {
  var sum = 0.0
  for l in 0..<count {
    y[to + l] += weight * x[from + l]
    dx[from + l] += weight * g[to + l]
    sum += g[to + l] * x[from + l]
  }
  return sum
}
