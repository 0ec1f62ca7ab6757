// The inner loops of convolutions as a protocol, and the choice of the loops for a CPU level. What
// must not live here: the loops themselves (SwiftForceKernels).

import SwiftForceCore
import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// The inner loops of a convolution. See `ConvolutionTiles`.
public protocol TileLoops<Element> {
  associatedtype Element

  static var rows: Int { get }
  static var lanes: Int { get }
  static var vectors: Int { get }
  static var taps: Int { get }
  static var columns: Int { get }

  static func multiply(
    _ source: UnsafePointer<Element>, sourceStride: Int, channels: Int, taps: Int,
    offsets: UnsafePointer<Int>, positions: UnsafePointer<Int>, weights: UnsafePointer<Element>,
    weightStride: Int, vectors: Int, accumulate: Bool, into target: UnsafeMutablePointer<Element>,
    targetStride: Int)

  static func correlate(
    _ source: UnsafePointer<Element>, offsets: UnsafePointer<Int>,
    with transposed: UnsafePointer<Element>, count: Int,
    into target: UnsafeMutablePointer<Element>, positions: UnsafePointer<Int>)

  static func transpose(
    _ source: UnsafePointer<Element>, sourceStride: Int,
    into target: UnsafeMutablePointer<Element>, targetStride: Int)

  static func copy(
    _ source: UnsafePointer<Element>, strides from: (channel: Int, column: Int, block: Int),
    into target: UnsafeMutablePointer<Element>, strides to: (channel: Int, column: Int, block: Int),
    channels: Int, columns: Int, blocks: Int, lanes: Int, zeros: (before: Int, after: Int))
}

extension SwiftForceKernels.ConvolutionTiles: TileLoops {}

#if arch(x86_64)
  extension SwiftForceKernelsV3.ConvolutionTiles: TileLoops {}
  extension SwiftForceKernelsV4.ConvolutionTiles: TileLoops {}
#endif

extension SwiftForceKernels.ReferenceTiles: TileLoops {}

extension CPULevel {
  /// The inner loops of convolutions in binary32 at this level.
  var tiles: any TileLoops<Float>.Type {
    switch self {
    case .v2: SwiftForceKernels.ConvolutionTiles.self
    #if arch(x86_64)
      case .v3: SwiftForceKernelsV3.ConvolutionTiles.self
      case .v4: SwiftForceKernelsV4.ConvolutionTiles.self
    #else
      default: SwiftForceKernels.ConvolutionTiles.self
    #endif
    }
  }
}
