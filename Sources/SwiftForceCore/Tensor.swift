// Views of the caller's arrays: where they lie, how long they are, what their elements are. This
// is the one place in the core that holds a raw pointer, and the one place that a new element
// type is added to.

import SwiftForceKernels

/// The element types that weights, gradients and scores may have.
public enum ElementType: Int32, CaseIterable, Sendable {
  case float32

  /// Bytes of one element.
  public var size: Int {
    switch self {
    case .float32: MemoryLayout<Float>.size
    }
  }
}

/// Contiguous numbers that somebody else owns and keeps alive while the view is in use.
///
/// Making one is the unsafe act: whoever does it vouches for the memory. Using it is safe.
@safe public struct Tensor: @unchecked Sendable {
  public let type: ElementType
  public let count: Int
  let base: UnsafeRawPointer

  /// - Parameters:
  ///   - base: `count` initialised elements, aligned to their type. Not read where `count` is 0.
  @unsafe public init(_ base: UnsafeRawPointer, count: Int, type: ElementType) {
    unsafe self.base = base
    self.count = count
    self.type = type
  }

  var floats: UnsafePointer<Float> { unsafe base.assumingMemoryBound(to: Float.self) }
}

/// Contiguous numbers that may also be written; otherwise as `Tensor`.
@safe public struct MutableTensor: @unchecked Sendable {
  public let type: ElementType
  public let count: Int
  let base: UnsafeMutableRawPointer

  @unsafe public init(_ base: UnsafeMutableRawPointer, count: Int, type: ElementType) {
    unsafe self.base = base
    self.count = count
    self.type = type
  }

  var floats: UnsafeMutablePointer<Float> { unsafe base.assumingMemoryBound(to: Float.self) }
}

/// The mask of one tensor: a byte per weight, 1 where it is kept and 0 where it is removed.
@safe public struct Mask: @unchecked Sendable {
  public let count: Int
  let base: UnsafeMutablePointer<UInt8>

  @unsafe public init(_ base: UnsafeMutablePointer<UInt8>, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  /// How many weights it keeps.
  public var kept: Int { unsafe MaskBlocks.kept(base, count: count) }
}
