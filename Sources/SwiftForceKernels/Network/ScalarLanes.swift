// Sixteen numbers at a time, as vectors. What must not live here: loops.

extension Scalar {
  /// `lanes` numbers, 1 ... 16, and zeros.
  @inline(__always)
  static func load(_ source: UnsafePointer<Self>, _ lanes: Int) -> SIMD16<Self> {
    if lanes == 16 {
      return unsafe UnsafeRawPointer(source).loadUnaligned(as: SIMD16<Self>.self)
    }
    var values = SIMD16<Self>()
    for l in 0..<lanes { unsafe values[l] = source[l] }
    return values
  }

  @inline(__always)
  static func store(
    _ values: SIMD16<Self>, _ lanes: Int, to target: UnsafeMutablePointer<Self>
  ) {
    if lanes == 16 {
      unsafe UnsafeMutableRawPointer(target).storeBytes(of: values, as: SIMD16<Self>.self)
    } else {
      for l in 0..<lanes { unsafe target[l] = values[l] }
    }
  }
}
