// The step of SGD against the formula for single numbers, with masks, and the checks of its
// settings.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct OptimizerTests {
  static let layers: [LayerDescription] = [.linear(5, 3)]

  private func makeOptimizer() throws -> (ParameterLayout, Optimizer<Double>, Arena<Double>) {
    let layout = ParameterLayout(try Architecture(OptimizerTests.layers, inputShape: nil))
    return (layout, try Optimizer(TrainedLayout(layout)), try Arena(uniform(layout.count, seed: 1)))
  }

  @Test(arguments: [
    SGD(learningRate: 0.1), SGD(learningRate: 0.1, momentum: 0.9),
    SGD(learningRate: 0.1, weightDecay: 0.01),
    SGD(learningRate: 0.05, momentum: 0.5, weightDecay: 0.1), SGD(learningRate: 0, momentum: 1),
  ])
  func followsTheFormula(sgd: SGD) throws {
    let (_, optimizer, parameters) = try makeOptimizer()
    var weights = parameters.values
    var velocity = [Double](repeating: 0, count: weights.count)
    for step in 0..<5 {
      let gradients: [Double] = uniform(weights.count, seed: UInt64(10 + step))
      optimizer.gradients.all.write(gradients)
      optimizer.step(parameters.all, mask: nil, sgd)
      for i in weights.indices {
        velocity[i] = sgd.momentum * velocity[i] + (gradients[i] + sgd.weightDecay * weights[i])
        weights[i] -= sgd.learningRate * velocity[i]
      }
      #expect(parameters.values == weights)
    }
  }

  @Test func resetForgetsMomentum() throws {
    let (_, optimizer, parameters) = try makeOptimizer()
    optimizer.gradients.all.fill(with: 1)
    optimizer.step(parameters.all, mask: nil, SGD(learningRate: 0.1, momentum: 0.9))
    optimizer.reset()
    optimizer.gradients.all.fill(with: 0)
    let before = parameters.values
    optimizer.step(parameters.all, mask: nil, SGD(learningRate: 0.1, momentum: 0.9))
    #expect(parameters.values == before)
  }

  /// Neither the weight nor the gradient at a removed position has any effect.
  @Test func removedStaysZeroWhateverItHolds() throws {
    let (layout, optimizer, parameters) = try makeOptimizer()
    let mask = try Arena<UInt8>((0..<layout.count).map { UInt8($0 % 2) })
    let bad: [Double] = [.nan, .infinity, -.infinity, 1e308, -3]
    optimizer.gradients.all.write(
      (0..<layout.count).map { $0 % 2 == 0 ? bad[$0 / 2 % bad.count] : 0.5 })
    parameters.all.write(
      (0..<layout.count).map { $0 % 2 == 0 ? bad[($0 / 2 + 1) % bad.count] : 1 })
    let sgd = SGD(learningRate: 0.1, momentum: 0.9, weightDecay: 0.01)
    optimizer.step(parameters.all, mask: mask, sgd)
    let kept = 1 - 0.1 * (0.5 + 0.01)
    for (i, value) in parameters.values.enumerated() {
      #expect(i % 2 == 0 ? areExactZeros([value]) : (value - kept).magnitude < 1e-15)
    }
    // Its momentum is gone too: with the mask lifted and no gradient it does not move.
    optimizer.gradients.all.fill(with: 0)
    optimizer.step(parameters.all, mask: nil, SGD(learningRate: 0.1, momentum: 0.9))
    for (i, value) in parameters.values.enumerated() where i % 2 == 0 { #expect(value == 0) }
  }

  @Test(arguments: [-1, .nan, .infinity, -.infinity, 1e39] as [Double])
  func badSettingsAreErrors(value: Double) {
    let names: [(String, WritableKeyPath<SGD, Double>)] = [
      ("learning rate", \.learningRate), ("momentum", \.momentum), ("weight decay", \.weightDecay),
    ]
    for (name, path) in names {
      var sgd = SGD(learningRate: 0.1)
      sgd[keyPath: path] = value
      let error = #expect(throws: SFError.self) { try sgd.check(for: Float.self) }
      guard case .badHyperparameter(name, let reported) = error else {
        Issue.record("not an error about \(name)")
        continue
      }
      #expect(reported.bitPattern == value.bitPattern)
    }
  }

  @Test func limitIsThatOfTheElementType() throws {
    try SGD(learningRate: 1e39).check(for: Double.self)
    try SGD(learningRate: 0).check(for: Float.self)
  }
}
