// The counts and sums over scores that the compiler does not turn into vector code by itself (it may
// not reorder a sum): written with vector types. The loops are generic only in the source: each type of scores
// inlines them where it is known, since vector types are compiled well for known elements alone,
// and up to eight of them; for the same reason it is those types that compare.

/// Eight elements, which the compiler keeps in vector registers of whatever width.
@inline(__always)
private func eight<Element: SIMDScalar>(
  _ start: UnsafePointer<Element>, _ i: Int
) -> SIMD8<Element> {
  unsafe UnsafeRawPointer(start + i).loadUnaligned(as: SIMD8<Element>.self)
}

extension KeyedScore {
  @inline(__always)
  fileprivate static func countLoop(
    _ keys: UnsafePointer<Key>, _ count: Int, _ value: Key,
    _ oneWhereEqual: (SIMD8<Key>, SIMD8<Key>) -> SIMD8<Key>
  ) -> Int {
    let values = SIMD8<Key>(repeating: value)
    var lanes = (SIMD8<Key>.zero, SIMD8<Key>.zero)
    let whole = count & ~15
    var start = 0
    while start < whole {
      unsafe lanes.0 &+= oneWhereEqual(eight(keys, start), values)
      unsafe lanes.1 &+= oneWhereEqual(eight(keys, start &+ 8), values)
      start &+= 16
    }
    var total = Int(truncatingIfNeeded: (lanes.0 &+ lanes.1).wrappedSum())
    while start < count {
      total &+= unsafe keys[start] == value ? 1 : 0
      start &+= 1
    }
    return total
  }

  @inline(__always)
  fileprivate static func sumLoop(
    _ keys: UnsafePointer<Key>, _ count: Int, _ cutoff: Key,
    _ scores: (SIMD8<Key>, _ above: SIMD8<Key>) -> SIMD8<Double>
  ) -> (all: Double, above: Double) {
    let cutoffs = SIMD8<Key>(repeating: cutoff)
    let zero = SIMD8<Double>.zero
    var (all, above) = ((zero, zero), (zero, zero))
    let whole = count & ~15
    var start = 0
    while start < whole {
      let (k0, k1) = unsafe (eight(keys, start), eight(keys, start &+ 8))
      all.0 += scores(k0, .zero)
      all.1 += scores(k1, .zero)
      above.0 += scores(k0, cutoffs)
      above.1 += scores(k1, cutoffs)
      start &+= 16
    }
    var total = (all: (all.0 + all.1).sum(), above: (above.0 + above.1).sum())
    while start < count {
      let key = unsafe keys[start]
      let value = key == 0 ? 0 : Double(score(of: key))
      total.all += value
      total.above += key > cutoff ? value : 0
      start &+= 1
    }
    return total
  }

  @inline(__always)
  fileprivate static func squareLoop(
    _ values: UnsafePointer<Self>, _ count: Int, _ wide: (SIMD8<Self>) -> SIMD8<Double>
  ) -> Double {
    var lanes = (SIMD8<Double>.zero, SIMD8<Double>.zero)
    let whole = count & ~15
    var start = 0
    while start < whole {
      let (v0, v1) = unsafe (wide(eight(values, start)), wide(eight(values, start &+ 8)))
      lanes.0 += v0 * v0
      lanes.1 += v1 * v1
      start &+= 16
    }
    var total = (lanes.0 + lanes.1).sum()
    while start < count {
      let value = Double(unsafe values[start])
      total += value * value
      start &+= 1
    }
    return total
  }
}

extension Float {
  @unsafe public static func occurrences(
    of value: UInt32, in keys: UnsafePointer<UInt32>, count: Int
  ) -> Int {
    unsafe countLoop(keys, count, value) {
      SIMD8<UInt32>.zero.replacing(with: 1, where: $0 .== $1)
    }
  }

  @unsafe public static func scoreSums(
    _ keys: UnsafePointer<UInt32>, count: Int, above cutoff: UInt32
  ) -> (all: Double, above: Double) {
    unsafe sumLoop(keys, count, cutoff) { SIMD8<Double>(scores(of: $0, above: $1)) }
  }

  @unsafe public static func squareSum(_ values: UnsafePointer<Float>, count: Int) -> Double {
    unsafe squareLoop(values, count) { SIMD8<Double>($0) }
  }
}

extension Double {
  @unsafe public static func occurrences(
    of value: UInt64, in keys: UnsafePointer<UInt64>, count: Int
  ) -> Int {
    unsafe countLoop(keys, count, value) {
      SIMD8<UInt64>.zero.replacing(with: 1, where: $0 .== $1)
    }
  }

  @unsafe public static func scoreSums(
    _ keys: UnsafePointer<UInt64>, count: Int, above cutoff: UInt64
  ) -> (all: Double, above: Double) {
    unsafe sumLoop(keys, count, cutoff) { scores(of: $0, above: $1) }
  }

  @unsafe public static func squareSum(_ values: UnsafePointer<Double>, count: Int) -> Double {
    unsafe squareLoop(values, count) { $0 }
  }
}
