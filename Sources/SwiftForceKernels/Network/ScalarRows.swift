// Loops between the rows of a matrix and one value per row, for biases and their gradients, the
// conversion that fills new weights, and sums in a fixed order. What must not live here: anything
// about a layer.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func scale(
    _ source: UnsafePointer<Double>, by factor: Double, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] = Self(source[i] * factor) }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func broadcast(
    _ values: UnsafePointer<Self>, rows: Int, columns: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for row in 0..<rows {
      unsafe (target + row * columns).update(repeating: values[row], count: columns)
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func sumRows(
    _ matrix: UnsafePointer<Self>, rows: Int, columns: Int, accumulate: Bool,
    into target: UnsafeMutablePointer<Self>
  ) {
    for row in 0..<rows {
      let sum = unsafe Self(total(matrix + row * columns, count: columns))
      unsafe target[row] = accumulate ? target[row] + sum : sum
    }
  }

  /// How many numbers are summed in this type; the sums of such blocks are added in binary64. A row
  /// of a large batch has a hundred thousand numbers.
  @inline(__always)
  static var blockLength: Int { 2048 }

  /// The sum of an array of any length.
  @inline(__always)
  static func total(_ values: UnsafePointer<Self>, count: Int) -> Double {
    var total = 0.0
    for start in Swift.stride(from: 0, to: count, by: blockLength) {
      unsafe total += Double(sum(values + start, count: min(blockLength, count - start)))
    }
    return total
  }

  /// The sum of an array in a fixed order: element i is added to partial sum i mod 8. The compiler
  /// may not reorder a floating-point sum, so the eight partial sums are written out.
  @inline(__always)
  static func sum(_ values: UnsafePointer<Self>, count: Int) -> Self {
    var lanes = SIMD8<Self>()
    let bytes = unsafe UnsafeRawPointer(values)
    let whole = count & ~7
    for i in stride(from: 0, to: whole, by: 8) {
      let offset = i &* MemoryLayout<Self>.stride
      unsafe lanes += bytes.loadUnaligned(fromByteOffset: offset, as: SIMD8<Self>.self)
    }
    for i in whole..<count { unsafe lanes[i - whole] += values[i] }
    return lanes.sum()
  }
}
