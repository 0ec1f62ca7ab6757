// The inner loops of sparse layers as a protocol, and the choice of the loops for a CPU level. What
// must not live here: the loops themselves (SwiftForceKernels).

import SwiftForceCore
import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// The inner loops of sparse layers. See `SparseTiles`.
public protocol SparseLoops<Element> {
  associatedtype Element

  static var points: Int { get }
  static var regionRows: Int { get }
  static var regionColumns: Int { get }

  static func multiply(
    _ source: UnsafePointer<Element>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    entries: UnsafePointer<Int32>, values: UnsafePointer<Element>, starts: UnsafePointer<Int32>,
    startStride: Int, segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    bias: UnsafePointer<Element>?, accumulate: Bool, into target: UnsafeMutablePointer<Element>,
    targetOffsets: UnsafePointer<Int>, targetStride: Int)

  static func correlate(
    _ source: UnsafePointer<Element>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    with gradient: UnsafePointer<Element>, gradientOffsets: UnsafePointer<Int>, gradientStride: Int,
    count: Int, entries: UnsafePointer<Int32>, starts: UnsafePointer<Int32>, startStride: Int,
    segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    into target: UnsafeMutablePointer<Element>)

  static func multiplyRegion(
    _ source: UnsafePointer<Element>, rowStride: Int, columnStep: Int,
    entries: UnsafePointer<Int32>, values: UnsafePointer<Element>, starts: UnsafePointer<Int32>,
    startStride: Int, segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    bias: UnsafePointer<Element>?, accumulate: Bool, into target: UnsafeMutablePointer<Element>,
    targetRowStride: Int, targetColumnStride: Int, targetStride: Int)

  static func correlateRegion(
    _ source: UnsafePointer<Element>, rowStride: Int, columnStep: Int,
    with gradient: UnsafePointer<Element>, gradientRowStride: Int, gradientColumnStride: Int,
    gradientStride: Int, firstRow: Int, firstColumn: Int, entries: UnsafePointer<Int32>,
    starts: UnsafePointer<Int32>, startStride: Int, segments: UnsafePointer<Int32>,
    segmentCount: Int, channels: Int, into target: UnsafeMutablePointer<Element>)

  static func lanes(ofFew samples: Int) -> Int

  static func spreadFew(
    _ source: UnsafePointer<Element>, samples: Int, inputs: Int,
    into target: UnsafeMutablePointer<Element>)

  static func multiplyFew(
    _ source: UnsafePointer<Element>, samples: Int, entries: UnsafePointer<UInt16>,
    values: UnsafePointer<Element>, starts: UnsafePointer<Int32>, startStride: Int, channels: Int,
    bias: UnsafePointer<Element>?, into target: UnsafeMutablePointer<Element>)

  static var planePieces: Int { get }

  static func multiplyPlane(
    _ source: UnsafePointer<Element>, unit: Int, entries: UnsafePointer<Int32>,
    values: UnsafePointer<Element>, starts: UnsafePointer<Int32>, startStride: Int, channels: Int,
    bias: UnsafePointer<Element>?, pieces: Int, into target: UnsafeMutablePointer<Element>,
    targetStride: Int, rows: Int, column: Int, width: Int, pitch: Int)

  static func spread(
    _ source: UnsafePointer<Element>, channels: Int, sourceStride: Int, rowStride: Int,
    columnStride: Int, rows: Int, columns: Int, lanes: Int,
    into target: UnsafeMutablePointer<Element>, targetStride: Int, head: Int, gap: Int, tail: Int)

  static func gather(
    _ values: UnsafePointer<Element>, order: UnsafePointer<Int32>, count: Int,
    into target: UnsafeMutablePointer<Element>)

  static func scatter(
    _ values: UnsafePointer<Element>, order: UnsafePointer<Int32>, count: Int,
    into target: UnsafeMutablePointer<Element>)
}

/// The rows and columns of a region; 0 if there are none.
struct RegionSize: Sendable {
  let rows: Int
  let columns: Int
  /// Whether what regions read is copied (`SourceWindow`); nil: where that pays.
  var copies: Bool?
}

extension SparseLoops {
  static var region: RegionSize { RegionSize(rows: regionRows, columns: regionColumns) }
}

extension SwiftForceKernels.SparseTiles: SparseLoops {}

#if arch(x86_64)
  extension SwiftForceKernelsV3.SparseTiles: SparseLoops {}
  extension SwiftForceKernelsV4.SparseTiles: SparseLoops {}
#endif

extension SwiftForceKernels.ReferenceSparseTiles: SparseLoops {}

extension CPULevel {
  /// The inner loops of sparse layers in binary32 at this level.
  var sparseLoops: any SparseLoops<Float>.Type {
    switch self {
    case .v2: SwiftForceKernels.SparseTiles.self
    #if arch(x86_64)
      case .v3: SwiftForceKernelsV3.SparseTiles.self
      case .v4: SwiftForceKernelsV4.SparseTiles.self
    #else
      default: SwiftForceKernels.SparseTiles.self
    #endif
    }
  }
}
