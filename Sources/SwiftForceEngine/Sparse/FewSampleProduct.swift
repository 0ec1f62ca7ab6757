// The outputs of a sparse linear layer for few samples. What must not live here: images
// (PlaneProduct.swift), larger batches (SparseProduct.swift), gradients.

import SwiftForceCore

/// The product of the kept weights of a linear layer and fewer samples than a point has.
///
/// Nothing allocates, and no result depends on the number of workers. Samples are the innermost
/// dimension of activations, without a gap.
struct FewSampleProduct<Element: BLASScalar> {
  let weights: SparseWeights
  /// The input of each kept weight.
  let entries: Vector<UInt16>
  let batch: Int
  let loops: any SparseLoops<Element>.Type
  let team: Team

  /// Kept weights that are too few for several workers. One costs a quarter of a nanosecond for one
  /// sample and up to three times that for others. To start and join a thread takes some 100
  /// microseconds, and milliseconds if other work has the core.
  static var leastWeights: Int { 1 << 21 }

  /// The most inputs whose indices are entries.
  static var inputsLimit: Int { 1 << 16 }

  /// Elements of scratch memory of a layer.
  static func workspace(inputs: Int) -> Int { inputs * SparseBatch.width }

  /// target = the weights times the source, plus the bias.
  ///
  /// - Parameters:
  ///   - source: (inputs, batch).
  ///   - bias: one element per output; nil: zeros.
  ///   - workspace: `workspace` elements.
  ///   - target: set; (outputs, batch).
  func run(
    _ source: Vector<Element>, values: Vector<Element>, bias: Vector<Element>?,
    workspace: Vector<Element>, into target: Vector<Element>
  ) {
    assert(source.count == weights.inputs * batch)
    assert(target.count == weights.outputs * batch)
    assert(values.count == weights.count && entries.count == weights.count)
    let isDirect = loops.lanes(ofFew: batch) == batch
    if !isDirect {
      unsafe loops.spreadFew(
        source.base, samples: batch, inputs: weights.inputs, into: workspace.base)
    }
    let source = isDirect ? source : workspace
    let isShort = weights.count < FewSampleProduct.leastWeights || team.workers == 1
    let parts = isShort ? 1 : min(weights.outputs, 4 * team.workers)
    let groups = weights.forward.plan.groups
    team.forEach(parts) { _, part in
      let channels = weights.forward.channels(part, of: parts)
      let first = channels.lowerBound
      unsafe loops.multiplyFew(
        source.base, samples: batch, entries: entries.base, values: values.base,
        starts: weights.forward.starts.base + first * groups, startStride: groups,
        channels: channels.count, bias: bias.map { unsafe UnsafePointer($0.base + first) },
        into: target.base + first * batch)
    }
  }
}
