// Which products of a masked layer run over its kept weights. What must not live here: the products.

import SwiftForceCore

/// The sizes of a layer that can run over kept weights.
struct SparseSizes: Sendable, Equatable {
  let inputs: Int
  let outputs: Int
  let rows: ConvolutionSide
  let columns: ConvolutionSide

  /// The products that are faster over this share of the weights.
  ///
  /// A kept weight costs as much as a few weights of the dense kernels, which reuse what they load.
  /// How many was measured (`python -m benchmarks.sparse`); the choice depends on sizes alone, so
  /// that the same network computes the same on every machine.
  ///
  /// - Parameter density: kept weights / weights.
  func products(density: Double) -> SparseProducts {
    guard
      SparseWeights.supports(inputs: inputs, outputs: outputs, rows: rows, columns: columns)
    else { return [] }
    return density <= limit ? [.forward, .inputGradient, .weightGradient] : []
  }

  /// The largest density at which the three products together were faster over kept weights: on one
  /// thread, batch 128, at 32, 16, 8 and 4 pixels. With one tap a dense product is one of matrices,
  /// which BLAS multiplies at the speed of the machine.
  private var limit: Double {
    if rows.kernel * columns.kernel == 1 { return 0.35 }
    return rows.stride * columns.stride == 1 ? 0.6 : 0.5
  }

  /// Positions of the images, of which tables are made, and of the kernel.
  var positions: Int {
    rows.inputs * columns.inputs + rows.outputs * columns.outputs + rows.kernel * columns.kernel
  }
}

extension SparseWeights {
  /// The kept weights of a layer of these sizes.
  convenience init(mask: Vector<UInt8>, _ sizes: SparseSizes, _ region: RegionSize) throws(SFError)
  {
    try self.init(
      mask: mask, inputs: sizes.inputs, outputs: sizes.outputs, rows: sizes.rows,
      columns: sizes.columns, region: region)
  }
}
