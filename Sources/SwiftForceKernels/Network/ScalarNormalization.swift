// Batch normalisation of one channel, whose numbers are contiguous. What must not live here:
// running statistics, and where the numbers of a channel lie.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func moments(
    _ source: UnsafePointer<Self>, count: Int
  ) -> (mean: Double, variance: Double) {
    let mean = unsafe total(source, count: count) / Double(count)
    let center = Self(mean)
    var squares = 0.0
    for start in Swift.stride(from: 0, to: count, by: blockLength) {
      unsafe squares += Double(
        squaredDistances(source + start, from: center, count: min(blockLength, count - start)))
    }
    return (mean, squares / Double(count))
  }

  @inline(__always)
  private static func squaredDistances(
    _ values: UnsafePointer<Self>, from center: Self, count: Int
  ) -> Self {
    var lanes = SIMD8<Self>()
    let bytes = unsafe UnsafeRawPointer(values)
    let middle = SIMD8<Self>(repeating: center)
    let whole = count & ~7
    for i in Swift.stride(from: 0, to: whole, by: 8) {
      let offset = i &* MemoryLayout<Self>.stride
      let d = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: SIMD8<Self>.self) - middle
      lanes += d * d
    }
    for i in whole..<count {
      let d = unsafe values[i] - center
      lanes[i - whole] += d * d
    }
    return lanes.sum()
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalize(
    _ source: UnsafePointer<Self>, mean: Self, factor: Self, shift: Self, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] = (source[i] - mean) * factor + shift }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalizationSums(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, count: Int
  ) -> (gradients: Double, products: Double) {
    var (gradients, products) = (0.0, 0.0)
    for start in Swift.stride(from: 0, to: count, by: blockLength) {
      let length = min(blockLength, count - start)
      let sums = unsafe centeredSums(gradient + start, source + start, mean: mean, count: length)
      gradients += Double(sums.0)
      products += Double(sums.1)
    }
    return (gradients, products)
  }

  @inline(__always)
  private static func centeredSums(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, count: Int
  ) -> (Self, Self) {
    var (sums, products) = (SIMD8<Self>(), SIMD8<Self>())
    let (g, x) = unsafe (UnsafeRawPointer(gradient), UnsafeRawPointer(source))
    let middle = SIMD8<Self>(repeating: mean)
    let whole = count & ~7
    for i in Swift.stride(from: 0, to: whole, by: 8) {
      let offset = i &* MemoryLayout<Self>.stride
      let slope = unsafe g.loadUnaligned(fromByteOffset: offset, as: SIMD8<Self>.self)
      let value = unsafe x.loadUnaligned(fromByteOffset: offset, as: SIMD8<Self>.self)
      sums += slope
      products += slope * (value - middle)
    }
    for i in whole..<count {
      unsafe sums[i - whole] += gradient[i]
      unsafe products[i - whole] += gradient[i] * (source[i] - mean)
    }
    return (sums.sum(), products.sum())
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalizationGradient(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, factor: Self,
    slope: Self, shift: Self, count: Int, into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      unsafe target[i] = gradient[i] * factor - ((source[i] - mean) * slope + shift)
    }
  }
}
