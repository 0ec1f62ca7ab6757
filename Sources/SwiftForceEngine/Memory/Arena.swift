// The engine's memory: arenas own it, vectors and matrices look into it or into the caller's. These
// are the engine's raw pointers; layers, losses and the network see views alone. What must not live
// here: what the memory means.

import CPlatform
import SwiftForceCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// One block of zeroed memory, aligned to a cache line, at the same address for its whole life.
@safe final class Arena<Element: BitwiseCopyable> {
  /// Bytes of a cache line, and of the widest vector register.
  static var alignment: Int { 64 }

  let count: Int
  private let base: UnsafeMutablePointer<Element>

  /// - Throws: `.noMemory` where the machine does not have that much.
  init(count: Int) throws(SFError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
    guard !overflow, bytes <= Int.max - Arena.alignment else {
      throw .noMemory(bytes: Int.max)
    }
    let rounded = max(bytes, 1).roundedUp(toMultipleOf: Arena.alignment)
    // Systems that promise more than they have end the process that uses it.
    let most = Int(platform_memory())
    guard most == 0 || rounded <= most else { throw .noMemory(bytes: bytes) }
    guard let memory = unsafe aligned_alloc(Arena.alignment, rounded) else {
      throw .noMemory(bytes: bytes)
    }
    unsafe memset(memory, 0, rounded)
    self.count = count
    unsafe base = memory.bindMemory(to: Element.self, capacity: count)
  }

  deinit { unsafe free(base) }

  /// A part of the arena, which must not be used after the arena is gone.
  func vector(at offset: Int, count: Int) -> Vector<Element> {
    assert(offset >= 0 && count >= 0 && offset + count <= self.count, "outside the arena")
    return unsafe Vector(base + offset, count: count)
  }

  var all: Vector<Element> { vector(at: 0, count: count) }

  func fillWithZeros() {
    unsafe memset(base, 0, count * MemoryLayout<Element>.stride)
  }
}

extension Int {
  /// The smallest multiple that is not below this number, which must not be negative.
  func roundedUp(toMultipleOf divisor: Int) -> Int {
    (self + divisor - 1) / divisor * divisor
  }
}

/// Contiguous elements that somebody else owns and keeps alive while the view is in use.
///
/// Making one is the unsafe act: whoever does it vouches for the memory. Using it is safe.
@safe public struct Vector<Element: BitwiseCopyable>: @unchecked Sendable {
  public let count: Int
  /// Where the elements lie.
  @unsafe public let base: UnsafeMutablePointer<Element>

  /// - Parameter base: `count` initialised elements, aligned to their type.
  @unsafe public init(_ base: UnsafeMutablePointer<Element>, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  /// The elements `range` of this view.
  func part(_ range: Range<Int>) -> Vector<Element> {
    assert(range.lowerBound >= 0 && range.upperBound <= count, "outside the vector")
    return unsafe Vector(base + range.lowerBound, count: range.count)
  }

  /// Whether another view begins at the same place.
  func isSame(as other: Vector<Element>) -> Bool { unsafe base == other.base }

  /// These elements as a row-major matrix.
  func matrix(rows: Int, columns: Int) -> Matrix<Element> {
    assert(rows * columns == count, "a matrix of another size")
    return Matrix(rows: rows, columns: columns, elements: self)
  }

  /// Copies all elements of a view of the same size.
  func assign(_ other: Vector<Element>) {
    assert(other.count == count, "vectors of different sizes")
    unsafe base.update(from: other.base, count: count)
  }

  /// Copies elements of another view to the place `start` of this one.
  func copy(_ other: Vector<Element>, _ range: Range<Int>, to start: Int) {
    assert(range.lowerBound >= 0 && range.upperBound <= other.count, "outside the source")
    assert(start >= 0 && start + range.count <= count, "outside the vector")
    unsafe memcpy(
      base + start, other.base + range.lowerBound, range.count * MemoryLayout<Element>.stride)
  }

  /// The elements of a range become zero.
  func clear(_ range: Range<Int>) {
    assert(range.lowerBound >= 0 && range.upperBound <= count, "outside the vector")
    unsafe memset(base + range.lowerBound, 0, range.count * MemoryLayout<Element>.stride)
  }

  /// Every element becomes `value`.
  func fill(with value: Element) { unsafe base.update(repeating: value, count: count) }
}

/// A row-major matrix without gaps between its rows.
struct Matrix<Element: BitwiseCopyable>: Sendable {
  let rows: Int
  let columns: Int
  let elements: Vector<Element>
}

extension Vector {
  /// One element.
  subscript(index: Int) -> Element {
    get {
      assert(index >= 0 && index < count, "outside the vector")
      return unsafe base[index]
    }
    nonmutating set {
      assert(index >= 0 && index < count, "outside the vector")
      unsafe base[index] = newValue
    }
  }
}
