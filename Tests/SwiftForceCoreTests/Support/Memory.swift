// Memory for the code under test: typed elements between two guards that reveal writes out of
// bounds. What must not live here: anything about the method.

import SwiftForceCore
import Testing

/// Contiguous elements with a guard before and after them.
@safe final class Memory<Element: BitwiseCopyable & Equatable> {
  private static var guardCount: Int { 16 }

  let count: Int
  private let guardValue: Element
  private let start: UnsafeMutablePointer<Element>

  init(_ values: [Element], guardedBy guardValue: Element) {
    count = values.count
    self.guardValue = guardValue
    let total = values.count + 2 * Memory.guardCount
    unsafe start = UnsafeMutablePointer.allocate(capacity: total)
    unsafe start.initialize(repeating: guardValue, count: total)
    self.values = values
  }

  deinit { unsafe start.deallocate() }

  var base: UnsafeMutablePointer<Element> { unsafe start + Memory.guardCount }

  var values: [Element] {
    get { unsafe Array(UnsafeBufferPointer(start: base, count: count)) }
    set {
      precondition(newValue.count == count, "memory does not change its size")
      // One call, since a loop over elements would not be specialised for their type.
      unsafe newValue.withUnsafeBufferPointer { values in
        if let first = values.baseAddress { unsafe base.update(from: first, count: count) }
      }
    }
  }

  /// Whether nothing was written before or after the elements.
  var isIntact: Bool {
    (0..<Memory.guardCount).allSatisfy { i in
      unsafe start[i] == guardValue && base[count + i] == guardValue
    }
  }

  /// The offsets of consecutive tensors of these sizes.
  private func offsets(_ sizes: [Int]) -> [(offset: Int, size: Int)] {
    precondition(sizes.reduce(0, +) == count, "the sizes are those of other memory")
    var offset = 0
    return sizes.map { size in
      defer { offset += size }
      return (offset, size)
    }
  }
}

extension Memory<Float> {
  convenience init(_ values: [Float]) { self.init(values, guardedBy: -77) }

  /// The elements as tensors of these sizes. The memory must outlive their use.
  func tensors(_ sizes: [Int]) -> [Tensor] {
    offsets(sizes).map { part in
      unsafe Tensor(base + part.offset, count: part.size, type: .float32)
    }
  }

  func mutableTensors(_ sizes: [Int]) -> [MutableTensor] {
    offsets(sizes).map { part in
      unsafe MutableTensor(base + part.offset, count: part.size, type: .float32)
    }
  }

  /// The elements' bits: -0 differs from +0, and NaN equals itself.
  var bits: [UInt32] { values.map(\.bitPattern) }
}

extension Memory<UInt8> {
  /// The content of masks that were not written yet: neither 0 nor 1.
  static var unwritten: UInt8 { 7 }

  /// Masks of `count` weights that were not written yet.
  convenience init(masksOf count: Int) {
    self.init([UInt8](repeating: Memory.unwritten, count: count), guardedBy: 99)
  }

  func masks(_ sizes: [Int]) -> [Mask] {
    offsets(sizes).map { part in unsafe Mask(base + part.offset, count: part.size) }
  }
}

/// The error that `body` throws; nil if it throws nothing or another type of error.
func failure(_ body: () throws -> Void) -> SFError? {
  do {
    try body()
    return nil
  } catch {
    return error as? SFError
  }
}
