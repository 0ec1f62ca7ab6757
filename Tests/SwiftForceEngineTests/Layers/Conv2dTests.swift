// The convolution's values against its definition, and the loops of all CPU levels, types and
// numbers of workers against each other. LayerTests checks its gradients.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct Conv2dTests {
  /// y[o, r, c] = b[o] + the sum over i, s, t of w[o, i, s, t] x[i, stride r + s - padding, ...].
  private func definition(_ form: LayerCase, _ bench: LayerBench<Double>) -> [Double] {
    let (d, batch) = (form.description, bench.batch)
    let (height, width) = (form.shape.dimensions[1], form.shape.dimensions[2])
    let output = bench.layer.outputShape.dimensions
    let (x, w) = (bench.inputs[0].values, bench.parameters[0].values)
    let channels = d.inputs / d.groups
    var y: [Double] = []
    for o in 0..<output[0] {
      for place in 0..<output[1] * output[2] {
        let (r, c) = place.quotientAndRemainder(dividingBy: output[2])
        var sums = [Double](
          repeating: d.hasBias ? bench.parameters[1].values[o] : 0, count: batch)
        for position in 0..<channels * d.kernel * d.kernel {
          let (i, tap) = position.quotientAndRemainder(dividingBy: d.kernel * d.kernel)
          let row = d.stride * r + tap / d.kernel - d.padding
          let column = d.stride * c + tap % d.kernel - d.padding
          guard (0..<height).contains(row), (0..<width).contains(column) else { continue }
          let channel = d.groups == 1 ? i : o
          let start = ((channel * height + row) * width + column) * batch
          let weight = w[o * channels * d.kernel * d.kernel + position]
          for sample in 0..<batch { sums[sample] += weight * x[start + sample] }
        }
        y += sums
      }
    }
    return y
  }

  @Test(arguments: LayerTests.convolutions + LayerTests.depthwise, [1, 3])
  func isTheSumOfProducts(form: LayerCase, batch: Int) throws {
    let bench = try LayerBench<Double>(form, batch: batch)
    bench.forward()
    #expect(relativeError(bench.output.values, definition(form, bench)) < 1e-14)
  }

  @Test func asksForWeightAndBias() throws {
    let image = Shape(dimensions: [6, 7, 5])
    let layer = try LayerDescription.conv2d(6, 4, kernel: 3, stride: 2).makeLayer([image])
    #expect(
      layer.parameters == [
        ParameterDescription(role: .weight, shape: [4, 6, 3, 3], fanIn: 54),
        ParameterDescription(role: .bias, shape: [4]),
      ])
    #expect(layer.outputShape == Shape(dimensions: [4, 3, 2]))
    let single = LayerDescription.conv2d(6, 6, kernel: 3, padding: 2, groups: 6, bias: false)
    let depthwise = try single.makeLayer([image])
    #expect(
      depthwise.parameters == [ParameterDescription(role: .weight, shape: [6, 1, 3, 3], fanIn: 9)])
    #expect(depthwise.outputShape == Shape(dimensions: [6, 9, 7]))
  }

  /// Sizes of a convolution, and how many samples it gets.
  struct Size: Sendable, CustomTestStringConvertible {
    var inputs = 3
    var outputs = 5
    var batch = 5
    var kernel = 3
    var stride = 1
    var padding = 1
    var groups = 1
    var image = [4, 3]

    var form: LayerCase {
      LayerCase(
        .conv2d(
          inputs, outputs, kernel: kernel, stride: stride, padding: padding, groups: groups),
        [inputs] + image)
    }

    var testDescription: String { "\(form.testDescription), batch \(batch)" }
  }

  /// Sizes around the channels of a tile and of a block, the width of a vector, and the length of
  /// a strip. The images are small because debug builds call a function for each vector.
  static let sizes: [Size] = {
    let channels = [1, 3, 7, 8, 9, 16, 17, 33, 40]
    let batches = [1, 3, 16, 17, 47, 48, 49, 130, 600]
    var sizes = channels.map { Size(outputs: $0, batch: 3, image: [3, 2]) }
    sizes += channels.map { Size(inputs: $0, outputs: 3, batch: 3, image: [3, 2]) }
    sizes += batches.map { Size(inputs: 2, outputs: 3, batch: $0, image: [2, 2]) }
    sizes += [17, 49].map { Size(inputs: 4, outputs: 4, batch: $0, groups: 4) }
    sizes += [1, 17, 130].map { Size(inputs: 2, outputs: 2, batch: $0, stride: 2, image: [3, 3]) }
    sizes += [
      Size(inputs: 33, outputs: 17, batch: 2, image: [2, 2]),
      Size(inputs: 40, outputs: 40, batch: 1, image: [2, 2]),
      Size(batch: 16, kernel: 1, padding: 0, image: [1, 40]),
      Size(batch: 2, kernel: 5, stride: 3, padding: 4),
      // More channels than are computed together, and strips that divide the samples.
      Size(inputs: 2, outputs: 530, batch: 3, kernel: 1, padding: 0, image: [2, 1]),
      Size(inputs: 1, outputs: 513, batch: 130, kernel: 1, padding: 0, image: [1, 1]),
      Size(inputs: 515, outputs: 1, batch: 130, kernel: 1, padding: 0, image: [1, 1]),
      // More channels than are copied at a time.
      Size(inputs: 20, outputs: 1, batch: 60, image: [1, 6]),
    ]
    return sizes
  }()

  /// Every level computes what the plain loops compute in Double, and the same for any number of
  /// workers, bit for bit.
  @Test(arguments: sizes)
  func levelsAndWorkersAgree(size: Size) throws {
    let plain = try LayerBench<Double>(size.form, batch: size.batch)
    let (input, weight, bias) = (plain.inputs[0], plain.parameters[0], plain.parameters[1])
    // Round the numbers so that both types compute with the same ones.
    for arena in [input, weight, bias, plain.outputGradient] {
      arena.all.write(arena.values.map { Double(Float($0)) })
    }
    plain.run()
    let (output, gradients) = (plain.output.values, plain.gradients)
    for level in CPULevel.available {
      let alone = try LayerBench<Float>(size.form, batch: size.batch, level: level)
      alone.run()
      #expect(relativeError(alone.output.values, output) < 2e-6, "\(level)")
      for (got, expected) in zip(alone.gradients, gradients) {
        #expect(relativeError(got, expected) < 1e-5, "\(level)")
      }
      #expect(alone.staysInItsWorkspace)
      for workers in level == CPULevel.supported ? [2, 3, 5] : [3] {
        let shared = try LayerBench<Float>(
          size.form, batch: size.batch, level: level, workers: workers)
        shared.run()
        #expect(shared.output.values == alone.output.values, "\(level), \(workers) workers")
        #expect(shared.gradients == alone.gradients, "\(level), \(workers) workers")
        #expect(shared.staysInItsWorkspace, "\(level), \(workers) workers")
      }
    }
  }
}
