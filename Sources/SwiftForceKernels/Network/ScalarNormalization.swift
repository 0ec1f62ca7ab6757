// Batch normalisation of channels, whose numbers lie in runs. What must not live here: updates of
// running statistics.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func moments(
    _ source: UnsafePointer<Self>, runs: ChannelRuns
  ) -> (mean: Double, variance: Double) {
    let count = Double(runs.numbers)
    let mean = unsafe sum(source, runs, squaresFrom: nil) / count
    return unsafe (mean, sum(source, runs, squaresFrom: Self(mean)) / count)
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalize(
    _ source: UnsafePointer<Self>, mean: Self, factor: Self, shift: Self, rectifies: Bool,
    runs: ChannelRuns, into target: UnsafeMutablePointer<Self>
  ) {
    for run in 0..<runs.count {
      let from = unsafe source + run &* runs.stride
      let to = unsafe target + run &* runs.stride
      if rectifies {
        for i in 0..<runs.length {
          let y = unsafe (from[i] - mean) * factor + shift
          unsafe to[i] = y < 0 ? 0 : y
        }
      } else {
        for i in 0..<runs.length { unsafe to[i] = (from[i] - mean) * factor + shift }
      }
    }
    unsafe clearGap(runs, in: target)
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalize(
    _ source: UnsafePointer<Self>, channels: Int, stride: Int, mean: UnsafePointer<Self>,
    variance: UnsafePointer<Self>, epsilon: Double, scale: UnsafePointer<Self>,
    shift: UnsafePointer<Self>, rectifies: Bool, runs: ChannelRuns,
    inverse: UnsafeMutablePointer<Self>, into target: UnsafeMutablePointer<Self>
  ) {
    for channel in 0..<channels {
      let deviation = unsafe (Double(variance[channel]) + epsilon).squareRoot()
      unsafe inverse[channel] = Self(1 / deviation)
      unsafe normalize(
        source + channel &* stride, mean: mean[channel],
        factor: Self(Double(scale[channel]) * Double(inverse[channel])), shift: shift[channel],
        rectifies: rectifies, runs: runs, into: target + channel &* stride)
    }
  }

  /// Sets the numbers that belong to no sample to zero.
  @inline(__always)
  private static func clearGap(_ runs: ChannelRuns, in target: UnsafeMutablePointer<Self>) {
    guard runs.gap > 0 else { return }
    let last = unsafe target + (runs.count - 1) &* runs.stride
    for start in Swift.stride(from: 0, to: runs.length, by: 16) {
      for l in 16 - runs.gap..<16 { unsafe last[start + l] = 0 }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalizationSums(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self,
    rectified: (factor: Self, shift: Self)?, runs: ChannelRuns
  ) -> (gradients: Double, products: Double) {
    var (gradients, products) = (0.0, 0.0)
    var sums = (gradients: SIMD16<Self>(), products: SIMD16<Self>())
    var added = 0
    for run in 0..<runs.count {
      let hasGap = runs.gap > 0 && run == runs.count - 1
      for start in Swift.stride(from: 0, to: runs.length, by: blockLength) {
        let count = min(blockLength, runs.length - start)
        if added + count > blockLength || hasGap {
          gradients += Double(sums.gradients.sum())
          products += Double(sums.products.sum())
          (sums, added) = ((SIMD16(), SIMD16()), 0)
        }
        let at = run &* runs.stride + start
        unsafe add(
          gradient + at, source + at, mean: mean, rectified: rectified, count: count, to: &sums)
        added += count
        if hasGap {
          for l in 16 - runs.gap..<16 { (sums.gradients[l], sums.products[l]) = (0, 0) }
        }
      }
    }
    return (gradients + Double(sums.gradients.sum()), products + Double(sums.products.sum()))
  }

  @inline(__always)
  private static func add(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self,
    rectified: (factor: Self, shift: Self)?, count: Int,
    to sums: inout (gradients: SIMD16<Self>, products: SIMD16<Self>)
  ) {
    let means = SIMD16<Self>(repeating: mean)
    let whole = count & ~15
    for i in Swift.stride(from: 0, to: whole, by: 16) {
      let centered = unsafe load(source + i) - means
      let slope = unsafe rectifiedGradient(load(gradient + i), centered, rectified)
      sums.gradients += slope
      sums.products += slope * centered
    }
    for i in whole..<count {
      let centered = unsafe source[i] - mean
      let slope = unsafe rectifiedGradient(gradient[i], centered, rectified)
      sums.gradients[i - whole] += slope
      sums.products[i - whole] += slope * centered
    }
  }

  /// The gradients that a rectifier passes on: its output is computed again, as it was before.
  @inline(__always)
  private static func rectifiedGradient(
    _ gradient: SIMD16<Self>, _ centered: SIMD16<Self>, _ rectified: (factor: Self, shift: Self)?
  ) -> SIMD16<Self> {
    guard let rectified else { return gradient }
    let factors = SIMD16<Self>(repeating: rectified.factor)
    return rectifierGradient(
      gradient, centered * factors + SIMD16<Self>(repeating: rectified.shift))
  }

  @inline(__always)
  private static func rectifiedGradient(
    _ gradient: Self, _ centered: Self, _ rectified: (factor: Self, shift: Self)?
  ) -> Self {
    guard let rectified else { return gradient }
    return centered * rectified.factor + rectified.shift <= 0 ? 0 : gradient
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func normalizationGradient(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, factor: Self,
    slope: Self, shift: Self, rectified: (factor: Self, shift: Self)?, runs: ChannelRuns,
    into target: UnsafeMutablePointer<Self>
  ) {
    let (means, factors) = (SIMD16<Self>(repeating: mean), SIMD16<Self>(repeating: factor))
    let (slopes, shifts) = (SIMD16<Self>(repeating: slope), SIMD16<Self>(repeating: shift))
    for run in 0..<runs.count {
      let at = run &* runs.stride
      let (g, x, to) = unsafe (gradient + at, source + at, target + at)
      // The compiler's own vectors would not be used where the target is the gradient.
      let whole = runs.length & ~15
      for i in Swift.stride(from: 0, to: whole, by: 16) {
        let centered = unsafe load(x + i) - means
        let gradients = unsafe rectifiedGradient(load(g + i), centered, rectified)
        unsafe store(gradients * factors - (centered * slopes + shifts), to: to + i)
      }
      for i in whole..<runs.length {
        let centered = unsafe x[i] - mean
        let gradient = unsafe rectifiedGradient(g[i], centered, rectified)
        unsafe to[i] = gradient * factor - (centered * slope + shift)
      }
    }
    unsafe clearGap(runs, in: target)
  }
}
