// The kept weights of one layer of a network, and what training keeps of them. What must not live
// here: the lists that are computed with (SparseWeights.swift), and the choice of kernels
// (SparseChoice.swift).

import SwiftForceCore

/// The kept weights of a layer as compact arrays, in the order of `SparseWeights.positions`.
///
/// While a caller holds the network's dense weights, it may write to them: each call copies the kept
/// ones to `values` first, and a training step copies them back. Otherwise `values` are all there is.
final class SparseLayer<Element: BLASScalar> {
  let weights: SparseWeights
  /// What its lists were made for.
  let loops: any SparseLoops<Element>.Type
  let values: Vector<Element>
  /// Whether the network's dense memory has the weights, too.
  var isInDense = true
  /// Scratch memory of the gradient of the inputs, which all layers of a network share.
  let scratch: Arena<Element>
  private let memory: Arena<Element>
  private var training: Arena<Element>?

  /// - Throws: `.noMemory`.
  init(
    _ weights: SparseWeights, _ loops: any SparseLoops<Element>.Type, scratch: Arena<Element>
  ) throws(SFError) {
    assert(scratch.count >= weights.orderedCount, "too little scratch memory")
    self.scratch = scratch
    self.loops = loops
    self.weights = weights
    memory = try Arena(count: weights.count)
    values = memory.all
  }

  /// Makes the memory for gradient and momentum, if it is not there.
  ///
  /// - Throws: `.noMemory`.
  func prepareTraining() throws(SFError) {
    if training == nil { training = try Arena(count: 2 * gradientOffset) }
  }

  private var gradientOffset: Int { weights.count.roundedUp(toMultipleOf: 16) }

  /// The gradient of the last step; nil before training is prepared.
  var gradient: Vector<Element>? { training?.vector(at: 0, count: weights.count) }

  var momentum: Vector<Element>? { training?.vector(at: gradientOffset, count: weights.count) }

  /// Sets `values` to the kept weights of a dense array.
  func gather(_ dense: Vector<Element>) { gather(dense, into: values) }

  /// Sets a dense array to the kept weights, and to zeros elsewhere.
  func scatter(into dense: Vector<Element>) { scatter(values, into: dense) }

  /// Copies what belongs to kept weights between a compact and a dense array.
  func gather(_ dense: Vector<Element>, into compact: Vector<Element>) {
    assert(compact.count == weights.count, "a compact array of another size")
    unsafe loops.gather(
      dense.base, order: weights.positions.base, count: compact.count, into: compact.base)
  }

  func scatter(_ compact: Vector<Element>, into dense: Vector<Element>) {
    assert(compact.count == weights.count, "a compact array of another size")
    dense.clear(0..<dense.count)
    unsafe loops.scatter(
      compact.base, order: weights.positions.base, count: compact.count, into: dense.base)
  }

  /// A step of stochastic gradient descent on the values.
  func step(_ sgd: SGD) {
    guard let gradient, let momentum else { return }
    unsafe Element.descend(
      values.base, velocity: momentum.base, gradient: gradient.base, mask: nil,
      count: values.count, learningRate: sgd.learningRate, momentum: sgd.momentum,
      weightDecay: sgd.weightDecay)
  }
}

extension SparseWeights {
  /// Elements of scratch memory for values in the order of the transposed lists.
  var orderedCount: Int {
    backward.reduce(0) { $0 + $1.order.count.roundedUp(toMultipleOf: 16) }
  }
}
