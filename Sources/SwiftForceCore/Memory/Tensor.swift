// Views of the caller's arrays: where they lie, how long they are, what their elements are. This
// is the one place in the core that holds raw pointers, and with SwiftForceKernels' Widening the
// one place that knows element types.

import SwiftForceKernels

/// The element types that weights, gradients and scores may have, freely mixed in one call.
public enum ElementType: Named {
  case float32
  case float64
  case float16
  case bfloat16

  /// Bytes of one element.
  public var size: Int {
    switch self {
    case .float32: 4
    case .float64: 8
    case .float16, .bfloat16: 2
    }
  }

  /// What the loops call it.
  var code: Int {
    switch self {
    case .float32: ElementCode.float32
    case .float64: ElementCode.float64
    case .float16: ElementCode.float16
    case .bfloat16: ElementCode.bfloat16
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

  var bytes: Int { count * type.size }

  /// One element, exactly.
  func element(_ i: Int) -> Double {
    var scratch = 0.0
    return unsafe withUnsafeMutablePointer(to: &scratch) { scratch in
      unsafe Blocks<Double>.widen(base, code: type.code, start: i, count: 1, scratch: scratch)
        .pointee
    }
  }
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
}

/// The mask of one tensor: a byte per weight, 1 where it is kept and 0 where it is removed.
@safe public struct Mask: @unchecked Sendable {
  public let count: Int
  let base: UnsafeMutablePointer<UInt8>

  @unsafe public init(_ base: UnsafeMutablePointer<UInt8>, count: Int) {
    unsafe self.base = base
    self.count = count
  }
}
