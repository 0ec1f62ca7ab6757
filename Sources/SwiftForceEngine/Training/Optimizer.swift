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

/// The optimizer's state of the parameters that are trained as a whole: gradients and momentum.
/// That of kept weights alone is in their `SparseLayer`.
struct Optimizer<Element: BLASScalar> {
  let layout: TrainedLayout
  let gradients: Arena<Element>
  private let momentum: Arena<Element>

  /// - Throws: `.noMemory`.
  init(_ layout: TrainedLayout) throws(SFError) {
    self.layout = layout
    gradients = try Arena(count: layout.count)
    momentum = try Arena(count: layout.count)
  }

  /// A view of the gradient of each tensor of the parameters; nil if it is not here.
  var gradientViews: [Vector<Element>?] { layout.views(of: gradients) }

  var momentumViews: [Vector<Element>?] { layout.views(of: momentum) }

  /// v = momentum v + g + weight_decay w, then w = w - learning_rate v, for these parameters.
  /// Weights that the mask removes, and their momentum, become +0 whatever they and their gradients
  /// are.
  ///
  /// - Parameters:
  ///   - trained: all trained parameters.
  ///   - mask: of the layout's parameters.
  /// - Complexity: O(n) reads and writes of n parameters.
  func step(_ trained: Vector<Element>, mask: Arena<UInt8>?, _ sgd: SGD) {
    assert(mask.map { $0.count == layout.count } ?? true, "a mask of another size")
    for run in layout.runs {
      unsafe Element.descend(
        trained.base + run.parameters.lowerBound, velocity: momentum.all.base + run.start,
        gradient: gradients.all.base + run.start,
        mask: mask.map { unsafe UnsafePointer($0.all.base + run.start) },
        count: run.parameters.count, learningRate: sgd.learningRate, momentum: sgd.momentum,
        weightDecay: sgd.weightDecay)
    }
  }

  /// Sets removed weights to zero, of those whose state is here.
  func clear(_ trained: Vector<Element>, whereRemovedBy mask: Arena<UInt8>) {
    for run in layout.runs {
      trained.part(run.parameters).clear(whereRemovedBy: mask.all.part(run.elements))
    }
  }

  /// Sets the momentum of removed weights to zero.
  func clearMomentum(whereRemovedBy mask: Arena<UInt8>) {
    momentum.all.clear(whereRemovedBy: mask.all)
  }

  /// Sets all momentum to zero.
  func reset() { momentum.fillWithZeros() }
}
