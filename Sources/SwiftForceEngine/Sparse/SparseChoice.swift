// Which masked layers run over their kept weights. What must not live here: their products.

import SwiftForceCore

/// The sizes of a layer that can run over kept weights: a convolution without groups, or a linear
/// layer, which has images of one position.
public struct SparseSizes: Sendable, Equatable {
  let inputs: Int
  let outputs: Int
  let rows: ConvolutionSide
  let columns: ConvolutionSide

  /// - Parameters:
  ///   - inputs: channels, as `outputs`.
  ///   - rows: of which at least one output has no padding only, as of `columns`.
  public init(inputs: Int, outputs: Int, rows: ConvolutionSide, columns: ConvolutionSide) {
    (self.inputs, self.outputs, self.rows, self.columns) = (inputs, outputs, rows, columns)
  }

  /// Whether all offsets and positions fit into 32 bits.
  public var isSupported: Bool {
    SparseWeights.supports(inputs: inputs, outputs: outputs, rows: rows, columns: columns)
      && PlaneGeometry(rows: rows, columns: columns).supports(inputs: inputs)
  }

  /// The elements of the dense weight.
  var weights: Int { outputs * inputs * rows.kernel * columns.kernel }

  /// The elements of a sample of the source, and of the target.
  var sourceElements: Int { inputs * rows.inputs * columns.inputs }

  var targetElements: Int { targetShape.features }

  var targetShape: Shape { Shape(dimensions: [outputs, rows.outputs, columns.outputs]) }

  /// The limit for the CPU level in use.
  ///
  /// - Throws: `.badEnvironment` if the variable for the CPU level is invalid.
  public func densityLimit() throws(SFError) -> Double { densityLimit(try CPULevel.current()) }

  /// The largest share of the weights over which the three products of a layer (outputs, gradients of
  /// inputs and of weights) are together faster than over all; 0 if there are no loops for these sizes.
  ///
  /// A kept weight costs as much as a few weights of the dense kernels, which reuse what they load.
  /// How many was measured for each CPU level of x86-64, in steps of training on one thread with
  /// batches of 128, kernels of 3 x 3, strides 1 and 2, at 32, 16, 8, 4 and 2 pixels. The choice
  /// depends on sizes and level alone, so a machine always computes the same. With one tap a dense
  /// product is one of matrices, which BLAS multiplies at the speed of the machine.
  func densityLimit(_ level: CPULevel) -> Double {
    guard isSupported else { return 0 }
    if rows.kernel * columns.kernel == 1 { return 0.35 }
    let limit =
      switch level {
      case .v2: 0.65
      case .v3: 0.5
      case .v4: 0.7
      }
    return rows.outputs * columns.outputs < 16 ? min(limit, 0.55) : limit
  }

  /// Whether outputs of so few samples are computed with positions side by side (`PlaneProduct`)
  /// instead of samples, if they are computed over kept weights.
  ///
  /// At a density of 0.6, against dense kernels on one thread, that was as fast or up to twice as
  /// fast for 1 to 8 samples, and always faster with one tap. Convolutions of large images lose up to
  /// a fifth at 0.7, and so do 9 to 15 samples at 0.6, which win below 0.45; dense kernels are not
  /// used all the same, since they need all weights in memory. From 12 samples on, sixteen that are
  /// padded would be up to a fourth faster at 90 % removed and more, and not at 50 %; but all other
  /// layers would compute the padding, too.
  static func usesPlanes(samples: Int) -> Bool { samples < SparseBatch.width }

  /// The bytes of the tables of points and regions that lists of kept weights have, at most.
  public var tables: Int {
    let positions = rows.inputs * columns.inputs + rows.outputs * columns.outputs
    return 32 * positions + 2048 * rows.kernel * columns.kernel + (1 << 14)
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
