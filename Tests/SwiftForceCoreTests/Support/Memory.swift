// Memory that a test owns and lends to the code under test: typed elements between two guards, so
// that a write outside them is seen. What must not live here: anything about the method.

import SwiftForceCore
import Testing

/// Elements with guards in front and behind.
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
      // Not element by element: this is not compiled for each type of them.
      unsafe newValue.withUnsafeBufferPointer { values in
        if let first = values.baseAddress { unsafe base.update(from: first, count: count) }
      }
    }
  }

  /// Whether nothing was written in front of the elements or behind them.
  var isIntact: Bool {
    (0..<Memory.guardCount).allSatisfy { i in
      unsafe start[i] == guardValue && base[count + i] == guardValue
    }
  }

  /// Where tensors of these sizes start when they lie one behind the other.
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
  /// What masks hold before anybody writes them: neither 0 nor 1.
  static var unwritten: UInt8 { 7 }

  /// Masks of `count` weights that nobody has written.
  convenience init(masksOf count: Int) {
    self.init([UInt8](repeating: Memory.unwritten, count: count), guardedBy: 99)
  }

  func masks(_ sizes: [Int]) -> [Mask] {
    offsets(sizes).map { part in unsafe Mask(base + part.offset, count: part.size) }
  }
}

/// What `body` throws; nil where it throws nothing or something that is no SFError.
func failure(_ body: () throws -> Void) -> SFError? {
  do {
    try body()
    return nil
  } catch {
    return error as? SFError
  }
}
