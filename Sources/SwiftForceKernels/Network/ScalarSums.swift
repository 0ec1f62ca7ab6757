// Sums over the runs of a channel, in a fixed order. What must not live here: what the sums are
// for.

extension Scalar {
  /// How many numbers are summed in this type; the sums of such blocks are added in binary64. A
  /// channel of a large batch has a hundred thousand numbers.
  @inline(__always)
  static var blockLength: Int { 2048 }

  /// The sum over all samples, of the numbers or of their squared distances from a center.
  @inline(__always)
  static func sum(
    _ source: UnsafePointer<Self>, _ runs: ChannelRuns, squaresFrom center: Self?
  ) -> Double {
    var total = 0.0
    var lanes = SIMD16<Self>()
    var added = 0
    for run in 0..<runs.count {
      let hasGap = runs.gap > 0 && run == runs.count - 1
      for start in Swift.stride(from: 0, to: runs.length, by: blockLength) {
        let count = min(blockLength, runs.length - start)
        if added + count > blockLength || hasGap {
          total += Double(lanes.sum())
          (lanes, added) = (SIMD16(), 0)
        }
        unsafe add(
          source + run &* runs.stride + start, count: count, squaresFrom: center, to: &lanes)
        added += count
        if hasGap {
          for l in 16 - runs.gap..<16 { lanes[l] = 0 }
        }
      }
    }
    return total + Double(lanes.sum())
  }

  /// Adds number i, or its squared distance from the center, to lane i mod 16. The compiler may not
  /// reorder a floating-point sum, so the sixteen partial sums are written out.
  @inline(__always)
  private static func add(
    _ values: UnsafePointer<Self>, count: Int, squaresFrom center: Self?,
    to lanes: inout SIMD16<Self>
  ) {
    let bytes = unsafe UnsafeRawPointer(values)
    let whole = count & ~15
    if let center {
      let middle = SIMD16<Self>(repeating: center)
      for i in Swift.stride(from: 0, to: whole, by: 16) {
        let offset = i &* MemoryLayout<Self>.stride
        let d = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: SIMD16<Self>.self) - middle
        lanes += d * d
      }
      for i in whole..<count {
        let d = unsafe values[i] - center
        lanes[i - whole] += d * d
      }
    } else {
      for i in Swift.stride(from: 0, to: whole, by: 16) {
        let offset = i &* MemoryLayout<Self>.stride
        unsafe lanes += bytes.loadUnaligned(fromByteOffset: offset, as: SIMD16<Self>.self)
      }
      for i in whole..<count { unsafe lanes[i - whole] += values[i] }
    }
  }
}
