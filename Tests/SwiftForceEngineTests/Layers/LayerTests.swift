// Properties of all layers. The cases cover every kind, so a new kind is tested as soon as it is
// added.

import Testing

@testable import SwiftForceEngine

struct LayerTests {
  /// Layers of each kind, with the boundary values of all sizes.
  private static func cases(of kind: LayerKind) -> [LayerCase] {
    switch kind {
    case .linear:
      [
        LayerCase(.linear(7, 5), [7]), LayerCase(.linear(12, 2), [3, 2, 2]),
        LayerCase(.linear(4, 3, bias: false), [4]),
      ]
    case .relu, .flatten:
      [LayerCase(LayerDescription(kind: kind), [7]), LayerCase(.init(kind: kind), [2, 3, 2])]
    case .add: [LayerCase(.add(0), [7]), LayerCase(.add(0), [2, 3, 2])]
    case .globalAvgPool2d:
      [LayerCase(.globalAvgPool2d, [3, 2, 3]), LayerCase(.globalAvgPool2d, [2, 1, 1])]
    case .batchNorm2d:
      ([.batch, .running] as [Normalization]).flatMap { normalization in
        [
          LayerCase(.batchNorm2d(3), [3, 2, 3], by: normalization),
          LayerCase(.batchNorm2d(1, epsilon: 0.3), [1, 3, 1], by: normalization),
        ]
      }
    case .maxPool2d, .avgPool2d: pools(kind)
    case .conv2d: convolutions + depthwise
    }
  }

  /// Windows side by side with a remainder; overlapping; with gaps; of one number; of all.
  private static func pools(_ kind: LayerKind) -> [LayerCase] {
    [(2, 2), (3, 2), (2, 1), (2, 3), (1, 2), (5, 1)].map { kernel, stride in
      var pool = LayerDescription(kind: kind)
      (pool.kernel, pool.stride) = (kernel, stride)
      return LayerCase(pool, [2, 7, 5])
    }
  }

  static let convolutions = [
    LayerCase(.conv2d(2, 3, kernel: 1), [2, 7, 5]),
    LayerCase(.conv2d(2, 3, kernel: 1, stride: 2), [2, 7, 5]),
    LayerCase(.conv2d(3, 2, kernel: 1, stride: 3, bias: false), [3, 7, 5]),
    LayerCase(.conv2d(2, 3, kernel: 2), [2, 7, 5]),
    LayerCase(.conv2d(2, 3, kernel: 2, stride: 2, padding: 1), [2, 7, 5]),
    LayerCase(.conv2d(1, 2, kernel: 2, stride: 3), [1, 7, 5]),
    LayerCase(.conv2d(2, 3, kernel: 3, padding: 1, bias: false), [2, 7, 5]),
    LayerCase(.conv2d(1, 3, kernel: 3), [1, 7, 5]),
    LayerCase(.conv2d(2, 2, kernel: 3, stride: 2, padding: 1), [2, 7, 5]),
    LayerCase(.conv2d(2, 1, kernel: 3, stride: 3, padding: 2), [2, 7, 5]),
    LayerCase(.conv2d(1, 2, kernel: 5, padding: 2), [1, 7, 5]),
    LayerCase(.conv2d(1, 2, kernel: 5, stride: 2, padding: 4), [1, 7, 5]),
    LayerCase(.conv2d(1, 2, kernel: 5, stride: 3, bias: false), [1, 7, 5]),
    LayerCase(.conv2d(1, 2, kernel: 3, padding: 2), [1, 1, 1]),
    LayerCase(.conv2d(2, 2, kernel: 3, stride: 2, padding: 1), [2, 1, 4]),
  ]

  static let depthwise = [
    LayerCase(.conv2d(3, 3, kernel: 3, padding: 1, groups: 3, bias: false), [3, 7, 5]),
    LayerCase(.conv2d(2, 2, kernel: 2, stride: 2, groups: 2), [2, 7, 5]),
    LayerCase(.conv2d(2, 2, kernel: 3, stride: 2, padding: 1, groups: 2), [2, 7, 5]),
    LayerCase(.conv2d(2, 2, kernel: 1, stride: 3, groups: 2), [2, 7, 5]),
    LayerCase(.conv2d(2, 2, kernel: 5, stride: 3, padding: 4, groups: 2), [2, 7, 5]),
    LayerCase(.conv2d(2, 2, kernel: 5, padding: 2, groups: 2), [2, 3, 4]),
  ]

  static let all = LayerKind.allCases.flatMap(cases)

  @Test func everyKindIsAmongThem() {
    #expect(Set(LayerTests.all.map(\.description.kind)) == Set(LayerKind.allCases))
  }

  @Test(arguments: all, [1, 2, 5, 11, 16, 19, 35])
  func gradientsAreTheDerivatives(form: LayerCase, batch: Int) throws {
    let bench = try LayerBench<Double>(form, batch: batch)
    bench.run()
    let gradients = bench.gradients
    #expect(bench.staysInItsWorkspace)
    let trained = zip(bench.parameters, bench.layer.parameters).filter { $1.role.isTrained }
    for (arena, gradient) in zip(bench.inputs + trained.map(\.0), gradients) {
      let moved = places(arena.count, atMost: 24)
      let slopes = centralDifferences(of: bench.objective, by: arena.all, at: moved)
      #expect(relativeError(moved.map { gradient[$0] }, slopes) < 3e-8)
    }
  }

  /// A sample's output and gradient are the same alone, in a block that is full, and beside a gap.
  @Test(arguments: all.filter { !$0.couplesSamples }, [16, 37])
  func samplesAreComputedOneByOne(form: LayerCase, batch: Int) throws {
    let together = try LayerBench<Double>(form, batch: batch)
    together.run()
    let shape = together.layer.outputShape
    let outputs = together.samples(together.output, shape)
    let slopes = together.samples(together.outputGradient, shape)
    let inputs = together.inputs.map { together.samples($0, form.shape) }
    let gradients = together.inputGradients.map { together.samples($0, form.shape) }
    for sample in [0, 15, batch - 1] {
      func column(_ numbers: [Double]) -> [Double] {
        stride(from: sample, to: numbers.count, by: batch).map { numbers[$0] }
      }
      let alone = try LayerBench<Double>(form, batch: 1)
      for (arena, numbers) in zip(alone.inputs, inputs) { arena.all.write(column(numbers)) }
      for (arena, other) in zip(alone.parameters, together.parameters) {
        arena.all.write(other.values)
      }
      alone.outputGradient.all.write(column(slopes))
      alone.run()
      #expect(relativeError(column(outputs), alone.output.values) < 1e-13)
      for (numbers, arena) in zip(gradients, alone.inputGradients) {
        #expect(relativeError(column(numbers), arena.values) < 1e-13)
      }
    }
  }

  /// What lies in a gap reaches no gradient, and gradients there are zero.
  @Test(arguments: all, [17, 30])
  func gapsDoNotMatter(form: LayerCase, batch: Int) throws {
    let bench = try LayerBench<Double>(form, batch: batch)
    bench.run()
    let (outputs, gradients) = (
      bench.samples(bench.output, bench.layer.outputShape), bench.gradients
    )
    for (arena, gradient) in zip(bench.inputs, bench.inputGradients) {
      let view = Activation(gradient.all, shape: form.shape, batch: batch)
      #expect(view.gapNumbers.count == form.shape.features * (32 - batch))
      #expect(view.gapNumbers.allSatisfy { $0 == 0 })
      let input = Activation(arena.all, shape: form.shape, batch: batch)
      for feature in 0..<input.features {
        for lane in batch..<32 { arena.all.write(1e6, at: input.place(feature, lane)) }
      }
    }
    bench.run()
    #expect(bench.samples(bench.output, bench.layer.outputShape) == outputs)
    #expect(bench.gradients == gradients)
    let output = Activation(bench.output.all, shape: bench.layer.outputShape, batch: batch)
    #expect(output.gapNumbers.allSatisfy { $0.isFinite })
  }

  @Test(arguments: all)
  func gradientsAccumulateIfRequested(form: LayerCase) throws {
    let bench = try LayerBench<Double>(form, batch: 6)
    bench.run()
    let once = bench.trainedGradients
    let inputs = bench.inputGradients.map(\.values)
    bench.backward(accumulates: true)
    for (gradient, once) in zip(bench.trainedGradients, once) {
      #expect(relativeError(gradient, once.map { 2 * $0 }) < 1e-13)
    }
    #expect(bench.inputGradients.map(\.values) == inputs)
  }

  /// Gradients that are not requested are not computed, and the others are the same.
  @Test(arguments: all)
  func unrequestedGradientsAreNotComputed(form: LayerCase) throws {
    let bench = try LayerBench<Double>(form, batch: 6)
    bench.run()
    let inputs = bench.inputGradients.map(\.values)
    let parameters = bench.trainedGradients
    bench.forgetGradients()
    bench.backward(accumulates: false, wantsParameters: false)
    #expect(bench.inputGradients.map(\.values) == inputs)
    #expect(bench.parameterGradients.allSatisfy { $0.values.allSatisfy { $0.isNaN } })
    bench.forgetGradients()
    bench.backward(accumulates: false, wantsInput: false)
    #expect(bench.inputGradients.allSatisfy { $0.values.allSatisfy { $0.isNaN } })
    #expect(bench.trainedGradients == parameters)
  }

  /// NaN in a sample gives NaN in the outputs of this sample, and in no others.
  @Test(arguments: all)
  func nonFiniteInputsPropagate(form: LayerCase) throws {
    let bench = try LayerBench<Double>(form, batch: 4)
    for input in bench.inputs {
      let place = 2
      let value = input.values[place]
      input.all.write(.nan, at: place)
      bench.forward()
      let samples = bench.output.values.enumerated().filter(\.element.isNaN).map { $0.offset % 4 }
      #expect(Set(samples) == (form.couplesSamples ? [0, 1, 2, 3] : [2]))
      input.all.write(value, at: place)
    }
  }

  /// Memory that a layer says it does not need may be destroyed, and it may overwrite what it says.
  @Test(arguments: all)
  func needsAreComplete(form: LayerCase) throws {
    let bench = try LayerBench<Double>(form, batch: 5)
    bench.run()
    let (output, gradients) = (bench.output.values, bench.gradients)
    bench.forget()
    bench.forward()
    let (needs, values) = (bench.layer.needs, bench.inputs.map(\.values))
    if !needs.readsInput { for input in bench.inputs { input.all.fill(with: .nan) } }
    if !needs.readsOutput { bench.output.all.fill(with: .nan) }
    bench.backward(accumulates: false)
    #expect(bench.gradients == gradients)
    if needs.mayOverwriteGradient {
      bench.backward(accumulates: false, into: bench.outputGradient)
      #expect([bench.outputGradient.values] + bench.gradients.dropFirst() == gradients)
    }
    for (input, values) in zip(bench.inputs, values) { input.all.write(values) }
    if needs.mayOverwriteInput {
      bench.layer.forward(bench.pass(output: bench.inputs[0]))
      #expect(bench.inputs[0].values == output)
    }
  }

  @Test(arguments: all, [2, 3])
  func resultsDoNotDependOnTheNumberOfWorkers(form: LayerCase, workers: Int) throws {
    let (alone, shared) = (
      try LayerBench<Double>(form, batch: 5),
      try LayerBench<Double>(form, batch: 5, workers: workers)
    )
    for bench in [alone, shared] { bench.run() }
    #expect(shared.output.values == alone.output.values)
    #expect(shared.gradients == alone.gradients)
    #expect(shared.staysInItsWorkspace)
  }
}
