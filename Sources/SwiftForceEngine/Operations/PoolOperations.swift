// The kernels' loops for pools and depthwise convolutions as operations on views: one channel, for
// the samples of one block, `lanes` of them. What must not live here: the loops themselves
// (SwiftForceKernels).

import SwiftForceCore
import SwiftForceKernels

extension Vector where Element: BLASScalar {
  /// Sets this to the largest number of each window.
  func assignMaxima(of source: Vector<Element>, _ windows: PoolWindows, lanes: Int) {
    unsafe Element.maxPool(source.base, windows: windows, lanes: lanes, into: base)
  }

  /// Sets this to the gradients of the windows whose first largest number is there.
  func assignGradientOfMaxima(
    _ outputGradient: Vector<Element>, output: Vector<Element>, source: Vector<Element>,
    _ windows: PoolWindows, lanes: Int
  ) {
    unsafe Element.maxPoolGradient(
      outputGradient.base, output: output.base, source: source.base, windows: windows,
      lanes: lanes, into: base)
  }

  /// Sets this to the mean of each window.
  func assignMeans(of source: Vector<Element>, _ windows: PoolWindows, lanes: Int) {
    unsafe Element.averagePool(source.base, windows: windows, lanes: lanes, into: base)
  }

  /// Sets this to the gradient of a source of means.
  func assignGradientOfMeans(
    _ outputGradient: Vector<Element>, _ windows: PoolWindows, lanes: Int
  ) {
    unsafe Element.averagePoolGradient(
      outputGradient.base, windows: windows, lanes: lanes, into: base)
  }

  /// Sets this, one element for each lane, to the mean over all positions.
  func assignMean(of source: Vector<Element>, lanes: Int) {
    unsafe Element.averagePositions(
      source.base, positions: source.count / lanes, lanes: lanes, into: base)
  }

  /// Sets this to the gradient of the source of one mean for each lane.
  func assignGradientOfMean(_ outputGradient: Vector<Element>, lanes: Int) {
    unsafe Element.averagePositionsGradient(
      outputGradient.base, positions: count / lanes, lanes: lanes, into: base)
  }

  /// Adds the products of an input and the weights of a kernel.
  func addTaps(
    _ input: Vector<Element>, weights: Vector<Element>, _ runs: [TapRun], step: Int, lanes: Int
  ) {
    unsafe runs.withUnsafeBufferPointer { runs in
      guard let first = runs.baseAddress else { return }
      unsafe Element.addTaps(
        input.base, weights: weights.base, runs: first, count: runs.count, step: step,
        lanes: lanes, to: base)
    }
  }

  /// Adds the products of an output's gradient and the weights of a kernel.
  func addTransposedTaps(
    _ outputGradient: Vector<Element>, weights: Vector<Element>, _ runs: [TapRun], step: Int,
    lanes: Int
  ) {
    unsafe runs.withUnsafeBufferPointer { runs in
      guard let first = runs.baseAddress else { return }
      unsafe Element.addTransposedTaps(
        outputGradient.base, weights: weights.base, runs: first, count: runs.count, step: step,
        lanes: lanes, to: base)
    }
  }

  /// Adds the products of an input and an output's gradient, for each weight of a kernel.
  func addTapProducts(
    _ input: Vector<Element>, outputGradient: Vector<Element>, _ runs: [TapRun], step: Int,
    lanes: Int
  ) {
    unsafe runs.withUnsafeBufferPointer { runs in
      guard let first = runs.baseAddress else { return }
      unsafe Element.addTapProducts(
        input.base, outputGradient: outputGradient.base, runs: first, count: runs.count,
        step: step, lanes: lanes, to: base)
    }
  }
}
