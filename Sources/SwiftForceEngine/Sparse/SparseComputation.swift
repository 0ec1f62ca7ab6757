// The computations of a sparse layer: its outputs, the gradients of its inputs and of its kept
// weights, and copies between dense and compact arrays. What must not live here: the lists that
// they run over (SparseWeights.swift).

import SwiftForceCore

/// The computations of a sparse layer for one batch.
///
/// Nothing allocates, and no result depends on the number of workers. The source and the target of
/// each computation are activations as `SparseBatch` describes them; the samples that do not exist
/// are computed like the others.
struct SparseComputation<Element: BLASScalar> {
  let weights: SparseWeights
  let batch: SparseBatch
  let loops: any SparseLoops<Element>.Type
  let team: Team
  /// `weights.windowElements` elements for each worker, for copies of what regions read.
  let scratch: Vector<Element>

  /// Elements of scratch memory that `inputGradient` needs.
  var workspace: Int { weights.orderedCount }

  /// target = the weights times the source, plus the bias.
  ///
  /// - Parameters:
  ///   - source: (inputs, height, width) of each sample.
  ///   - values: the kept weights.
  ///   - bias: one element per output channel; nil: zeros.
  ///   - target: set; (outputs, height, width) of each sample.
  func forward(
    _ source: Vector<Element>, values: Vector<Element>, bias: Vector<Element>?,
    into target: Vector<Element>
  ) {
    product(weights.forward, targetSize: weights.rows.outputs * weights.columns.outputs).run(
      source, values: values, bias: bias, into: target)
  }

  /// Sets `target` to the gradient of the inputs.
  ///
  /// - Parameters:
  ///   - gradient: that of the outputs.
  ///   - workspace: `workspace` elements, overwritten.
  func inputGradient(
    _ gradient: Vector<Element>, values: Vector<Element>, workspace: Vector<Element>,
    into target: Vector<Element>
  ) {
    var start = 0
    for lists in weights.backward {
      let ordered = workspace.part(start..<start + lists.order.count)
      start += lists.order.count.roundedUp(toMultipleOf: 16)
      gather(values, lists.order, into: ordered)
      product(lists, targetSize: weights.rows.inputs * weights.columns.inputs).run(
        gradient, values: ordered, bias: nil, into: target)
    }
  }

  /// Sets `target` to the gradient of the kept weights, or adds it.
  ///
  /// - Parameters:
  ///   - source: the inputs.
  ///   - gradient: that of the outputs.
  func weightGradient(
    _ source: Vector<Element>, outputGradient gradient: Vector<Element>, accumulate: Bool,
    into target: Vector<Element>
  ) {
    SparseCorrelation(
      lists: weights.forward, batch: batch,
      targetSize: weights.rows.outputs * weights.columns.outputs, loops: loops, team: team,
      scratch: scratch
    ).run(source, outputGradient: gradient, accumulate: accumulate, into: target)
  }

  private func product(_ lists: SparseLists, targetSize: Int) -> SparseProduct<Element> {
    SparseProduct(
      lists: lists, batch: batch, targetSize: targetSize, loops: loops, team: team, scratch: scratch
    )
  }

  /// Sets `values` to the kept weights of a dense array.
  func pack(_ dense: Vector<Element>, into values: Vector<Element>) {
    gather(dense, weights.positions, into: values)
  }

  /// Sets a dense array to the kept weights, and to zeros elsewhere.
  func unpack(_ values: Vector<Element>, into dense: Vector<Element>) {
    let lists = weights.forward
    let size = dense.count / weights.outputs
    team.forEach(weights.outputs) { _, channel in
      let entries = lists.entries(of: channel..<channel + 1)
      dense.clear(channel * size..<(channel + 1) * size)
      unsafe loops.scatter(
        values.base + entries.lowerBound, order: lists.order.base + entries.lowerBound,
        count: entries.count, into: dense.base)
    }
  }

  private func gather(
    _ values: Vector<Element>, _ order: Vector<Int32>, into target: Vector<Element>
  ) {
    assert(target.count == order.count, "compact arrays of another size")
    let length = 1 << 14
    team.forEach((order.count + length - 1) / length) { _, round in
      let start = round * length
      unsafe loops.gather(
        values.base, order: order.base + start, count: min(length, order.count - start),
        into: target.base + start)
    }
  }
}
