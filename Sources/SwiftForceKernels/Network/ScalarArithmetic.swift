// Loops that add and multiply whole arrays, for sums of branches, depthwise convolutions and means
// over images. What must not live here: anything about a layer.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func add(
    _ source: UnsafePointer<Self>, times factor: Self, count: Int,
    to target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] += source[i] * factor }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func addArrays(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] = first[i] + second[i] }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func multiply(
    _ source: UnsafePointer<Self>, by factor: Self, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] = source[i] * factor }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func dot(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int
  ) -> Self {
    var total = 0.0
    for start in Swift.stride(from: 0, to: count, by: blockLength) {
      let length = min(blockLength, count - start)
      unsafe total += Double(products(first + start, second + start, count: length))
    }
    return Self(total)
  }

  @inline(__always)
  private static func products(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int
  ) -> Self {
    var lanes = SIMD8<Self>()
    let (a, b) = unsafe (UnsafeRawPointer(first), UnsafeRawPointer(second))
    let whole = count & ~7
    for i in Swift.stride(from: 0, to: whole, by: 8) {
      let offset = i &* MemoryLayout<Self>.stride
      unsafe lanes +=
        a.loadUnaligned(fromByteOffset: offset, as: SIMD8<Self>.self)
        * b.loadUnaligned(fromByteOffset: offset, as: SIMD8<Self>.self)
    }
    for i in whole..<count { unsafe lanes[i - whole] += first[i] * second[i] }
    return lanes.sum()
  }
}
