// Gathering samples of a data set, where they are rows, into activations, where they are columns.
// What must not live here: which samples are gathered.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func gatherTransposed(
    _ source: UnsafePointer<Self>, sourceStride: Int, features: Int,
    rows: UnsafePointer<Int64>?, count: Int, into target: UnsafeMutablePointer<Self>,
    targetStride: Int
  ) {
    // Eight samples at a time: eight streams are read in order, and one store fills half or all of
    // a cache line. With a single sample, a line would leave the cache before it is full.
    let whole = count & ~7
    for sample in stride(from: 0, to: whole, by: 8) {
      unsafe transposeEight(
        source, sourceStride: sourceStride, features: features, rows: rows, sample: sample,
        into: target, targetStride: targetStride)
    }
    for sample in whole..<count {
      let row = unsafe source + position(of: sample, in: rows) * sourceStride
      for f in 0..<features { unsafe target[f * targetStride + sample] = row[f] }
    }
  }

  @inline(__always)
  static func position(of sample: Int, in rows: UnsafePointer<Int64>?) -> Int {
    if let rows = unsafe rows { unsafe Int(rows[sample]) } else { sample }
  }

  @inline(__always)
  static func transposeEight(
    _ source: UnsafePointer<Self>, sourceStride: Int, features: Int,
    rows: UnsafePointer<Int64>?, sample: Int, into target: UnsafeMutablePointer<Self>,
    targetStride: Int
  ) {
    let a = unsafe source + position(of: sample, in: rows) * sourceStride
    let b = unsafe source + position(of: sample + 1, in: rows) * sourceStride
    let c = unsafe source + position(of: sample + 2, in: rows) * sourceStride
    let d = unsafe source + position(of: sample + 3, in: rows) * sourceStride
    let e = unsafe source + position(of: sample + 4, in: rows) * sourceStride
    let f = unsafe source + position(of: sample + 5, in: rows) * sourceStride
    let g = unsafe source + position(of: sample + 6, in: rows) * sourceStride
    let h = unsafe source + position(of: sample + 7, in: rows) * sourceStride
    let out = unsafe UnsafeMutableRawPointer(target + sample)
    let stride = targetStride &* MemoryLayout<Self>.stride
    for i in 0..<features {
      let column = unsafe SIMD8<Self>(a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i])
      unsafe out.storeBytes(of: column, toByteOffset: i &* stride, as: SIMD8<Self>.self)
    }
  }
}
