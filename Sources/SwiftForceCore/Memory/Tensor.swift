// Views of the caller's arrays: address, length and element type. No other file of the core stores
// raw pointers to them, and only this file and Widening of SwiftForceKernels know element types.
// What must not live here: what is computed from the elements.

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

  /// The number that the loops use for this type.
  var code: Int {
    switch self {
    case .float32: ElementCode.float32
    case .float64: ElementCode.float64
    case .float16: ElementCode.float16
    case .bfloat16: ElementCode.bfloat16
    }
  }
}

/// A view of contiguous numbers. The caller owns them and keeps them alive while the view is in
/// use.
///
/// The initializer is unsafe: whoever calls it guarantees that the memory is valid. Using the view
/// is safe.
@safe public struct Tensor: @unchecked Sendable {
  public let type: ElementType
  public let count: Int
  let base: UnsafeRawPointer

  /// - Parameter base: `count` initialised elements, aligned to their type. Not read if `count` is
  ///   0.
  @unsafe public init(_ base: UnsafeRawPointer, count: Int, type: ElementType) {
    unsafe self.base = base
    self.count = count
    self.type = type
  }

  var bytes: Int { count * type.size }

  /// The value of one element; binary64 holds the values of every element type.
  func element(_ i: Int) -> Double {
    var scratch = 0.0
    return unsafe withUnsafeMutablePointer(to: &scratch) { scratch in
      unsafe Blocks<Double>.widen(base, code: type.code, start: i, count: 1, scratch: scratch)
        .pointee
    }
  }
}

/// A view of contiguous numbers that may be written. Otherwise it is like `Tensor`.
@safe public struct MutableTensor: @unchecked Sendable {
  public let type: ElementType
  public let count: Int
  let base: UnsafeMutableRawPointer

  @unsafe public init(_ base: UnsafeMutableRawPointer, count: Int, type: ElementType) {
    unsafe self.base = base
    self.count = count
    self.type = type
  }

  /// The same memory, to read.
  var view: Tensor { unsafe Tensor(base, count: count, type: type) }
}

/// The mask of one tensor: a byte per weight, 1 if the weight is kept and 0 if it is removed.
@safe public struct Mask: @unchecked Sendable {
  public let count: Int
  let base: UnsafeMutablePointer<UInt8>

  @unsafe public init(_ base: UnsafeMutablePointer<UInt8>, count: Int) {
    unsafe self.base = base
    self.count = count
  }
}
