// Stochastic gradient descent: settings, state and step. What must not live here: the computation
// of gradients.

import SwiftForceCore

/// The settings of one step of stochastic gradient descent, with the meaning of torch.optim.SGD.
public struct SGD: Sendable, Equatable {
  public var learningRate: Double
  public var momentum: Double
  public var weightDecay: Double

  public init(learningRate: Double, momentum: Double = 0, weightDecay: Double = 0) {
    self.learningRate = learningRate
    self.momentum = momentum
    self.weightDecay = weightDecay
  }

  /// - Throws: `.badHyperparameter` for the first value that is negative, or not finite in the
  ///   element type.
  func check<Element: BLASScalar>(for type: Element.Type) throws(SFError) {
    let values = [
      ("learning rate", learningRate), ("momentum", momentum), ("weight decay", weightDecay),
    ]
    for (name, value) in values where !(value >= 0 && Element(value).isFinite) {
      throw .badHyperparameter(name: name, value: value)
    }
  }
}

/// The optimizer's state: gradients and momentum, laid out as the trained parameters are.
struct Optimizer<Element: BLASScalar> {
  let gradients: Arena<Element>
  private let momentum: Arena<Element>

  init(_ layout: ParameterLayout) throws(SFError) {
    gradients = try Arena(count: layout.trainedCount)
    momentum = try Arena(count: layout.trainedCount)
  }

  /// v = momentum v + g + weight_decay w, then w = w - learning_rate v, for all trained parameters.
  /// Weights that the mask removes, and their momentum, become +0 whatever they and their gradients
  /// are.
  ///
  /// - Complexity: O(n) reads and writes of n parameters.
  func step(_ parameters: Vector<Element>, mask: Arena<UInt8>?, _ sgd: SGD) {
    assert(parameters.count == gradients.count, "parameters of another size")
    unsafe Element.descend(
      parameters.base, velocity: momentum.all.base, gradient: gradients.all.base,
      mask: mask?.all.base, count: parameters.count, learningRate: sgd.learningRate,
      momentum: sgd.momentum, weightDecay: sgd.weightDecay)
  }

  /// Sets the momentum of removed weights to zero.
  func clear(whereRemovedBy mask: Arena<UInt8>) { momentum.all.clear(whereRemovedBy: mask.all) }

  /// Sets all momentum to zero.
  func reset() { momentum.fillWithZeros() }
}
