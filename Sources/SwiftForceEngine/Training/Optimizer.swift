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
  /// Where adjacent parameters lie among the trained ones, and where their state does.
  private struct Run {
    let parameters: Range<Int>
    var state: Int
  }

  private let runs: [Run]
  /// Where the state of each tensor of the layout begins; nil if it is not here.
  private let offsets: [Int?]
  private let layout: ParameterLayout
  let gradients: Arena<Element>
  private let momentum: Arena<Element>

  /// - Parameter left: the tensors of the layout whose state is kept elsewhere.
  init(_ layout: ParameterLayout, without left: Set<Int> = []) throws(SFError) {
    var runs: [Run] = []
    var offsets = [Int?](repeating: nil, count: layout.entries.count)
    var count = 0
    for (i, entry) in layout.entries.enumerated().sorted(by: {
      $0.element.offset < $1.element.offset
    })
    where entry.description.role.isTrained && !left.contains(i) {
      let range =
        entry.offset..<entry.offset + entry.count.roundedUp(toMultipleOf: ParameterLayout.alignment)
      offsets[i] = count
      if let last = runs.last, last.parameters.upperBound == range.lowerBound {
        runs[runs.count - 1] = Run(
          parameters: last.parameters.lowerBound..<range.upperBound, state: last.state)
      } else {
        runs.append(Run(parameters: range, state: count))
      }
      count += range.count
    }
    self.runs = runs
    self.offsets = offsets
    self.layout = layout
    gradients = try Arena(count: count)
    momentum = try Arena(count: count)
  }

  /// A view of the gradient of each tensor of the layout; nil if it is not here.
  var gradientViews: [Vector<Element>?] { views(of: gradients) }

  var momentumViews: [Vector<Element>?] { views(of: momentum) }

  private func views(of arena: Arena<Element>) -> [Vector<Element>?] {
    zip(layout.entries, offsets).map { entry, offset in
      offset.map { arena.vector(at: $0, count: entry.count) }
    }
  }

  /// v = momentum v + g + weight_decay w, then w = w - learning_rate v, for these parameters.
  /// Weights that the mask removes, and their momentum, become +0 whatever they and their gradients
  /// are.
  ///
  /// - Parameters:
  ///   - trained: all trained parameters.
  ///   - mask: of all of them.
  /// - Complexity: O(n) reads and writes of n parameters.
  func step(_ trained: Vector<Element>, mask: Arena<UInt8>?, _ sgd: SGD) {
    assert(trained.count == layout.trainedCount, "parameters of another size")
    for run in runs {
      unsafe Element.descend(
        trained.base + run.parameters.lowerBound, velocity: momentum.all.base + run.state,
        gradient: gradients.all.base + run.state,
        mask: mask.map { unsafe UnsafePointer($0.all.base + run.parameters.lowerBound) },
        count: run.parameters.count, learningRate: sgd.learningRate, momentum: sgd.momentum,
        weightDecay: sgd.weightDecay)
    }
  }

  /// Sets removed weights to zero, of those whose state is here.
  func clear(_ trained: Vector<Element>, whereRemovedBy mask: Arena<UInt8>) {
    for run in runs {
      trained.part(run.parameters).clear(whereRemovedBy: mask.all.part(run.parameters))
    }
  }

  /// Sets the momentum of removed weights to zero.
  func clearMomentum(whereRemovedBy mask: Arena<UInt8>) {
    for run in runs {
      momentum.all.part(run.state..<run.state + run.parameters.count)
        .clear(whereRemovedBy: mask.all.part(run.parameters))
    }
  }

  /// Sets all momentum to zero.
  func reset() { momentum.fillWithZeros() }
}
