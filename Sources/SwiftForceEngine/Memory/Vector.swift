// Views of memory: vectors and matrices in an arena or in the caller's arrays. What must not live
// here: ownership (Arena.swift), arithmetic (Operations/).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// A view of contiguous elements. Its owner must keep them alive while the view is in use.
///
/// Creating a view is the unsafe operation: the code that does so guarantees that the memory is
/// valid. Using a view is safe.
@safe public struct Vector<Element: BitwiseCopyable>: @unchecked Sendable {
  public let count: Int
  /// The address of the first element.
  @unsafe public let base: UnsafeMutablePointer<Element>

  /// - Parameter base: `count` initialised elements, aligned to their type.
  @unsafe public init(_ base: UnsafeMutablePointer<Element>, count: Int) {
    unsafe self.base = base
    self.count = count
  }

  /// The elements in `range`.
  func part(_ range: Range<Int>) -> Vector<Element> {
    assert(range.lowerBound >= 0 && range.upperBound <= count, "outside the vector")
    return unsafe Vector(base + range.lowerBound, count: range.count)
  }

  /// Whether another view begins at the same address.
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

  /// Copies a range of another view to index `start` of this one.
  func copy(_ other: Vector<Element>, _ range: Range<Int>, to start: Int) {
    assert(range.lowerBound >= 0 && range.upperBound <= other.count, "outside the source")
    assert(start >= 0 && start + range.count <= count, "outside the vector")
    unsafe memcpy(
      base + start, other.base + range.lowerBound, range.count * MemoryLayout<Element>.stride)
  }

  /// Sets the elements in a range to zero.
  func clear(_ range: Range<Int>) {
    assert(range.lowerBound >= 0 && range.upperBound <= count, "outside the vector")
    unsafe memset(base + range.lowerBound, 0, range.count * MemoryLayout<Element>.stride)
  }

  /// Sets every element to `value`.
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
