// The loops over keys that the compiler does not turn into vector code by itself, written with vector
// types. They are generic only in the source: each type of scores inlines them where it is known,
// since vector types are compiled well for known elements alone.

/// Sixteen elements, which the compiler keeps in vector registers of whatever width.
@inline(__always)
func sixteen<Element: SIMDScalar>(_ start: UnsafePointer<Element>) -> SIMD16<Element> {
  unsafe UnsafeRawPointer(start).loadUnaligned(as: SIMD16<Element>.self)
}

extension KeyedScore {
  @inline(__always)
  static func countLoop(_ value: Key, _ keys: UnsafePointer<Key>, _ count: Int) -> Int {
    var lanes = SIMD16<Key>.zero
    let whole = count & ~15
    for start in stride(from: 0, to: whole, by: 16) {
      let isEqual = unsafe sixteen(keys + start) .== value
      lanes.replace(with: lanes &+ 1, where: isEqual)
    }
    var total = Int(lanes.wrappedSum())
    for i in whole..<count where unsafe keys[i] == value { total += 1 }
    return total
  }

  @inline(__always)
  static func sumLoop(
    _ keys: UnsafePointer<Key>, _ count: Int, _ cutoff: Key,
    wide: (SIMD16<Self>) -> SIMD16<Double>
  ) -> (all: Double, above: Double) {
    var all = SIMD16<Double>.zero
    var above = SIMD16<Double>.zero
    let zero = key(of: 0)
    let whole = count & ~15
    for start in stride(from: 0, to: whole, by: 16) {
      let block = unsafe sixteen(keys + start)
      all += wide(scores(of: block.replacing(with: zero, where: block .== 0)))
      above += wide(scores(of: block.replacing(with: zero, where: block .<= cutoff)))
    }
    var total = (all: all.sum(), above: above.sum())
    for i in whole..<count where unsafe keys[i] != 0 {
      let value = Double(unsafe score(of: keys[i]))
      total.all += value
      if unsafe keys[i] > cutoff { total.above += value }
    }
    return total
  }
}

extension Float {
  @unsafe public static func occurrences(
    of value: UInt32, in keys: UnsafePointer<UInt32>, count: Int
  ) -> Int {
    unsafe countLoop(value, keys, count)
  }

  @unsafe public static func scoreSums(
    _ keys: UnsafePointer<UInt32>, count: Int, above cutoff: UInt32
  ) -> (all: Double, above: Double) {
    unsafe sumLoop(keys, count, cutoff) { SIMD16<Double>($0) }
  }
}

extension Double {
  @unsafe public static func occurrences(
    of value: UInt64, in keys: UnsafePointer<UInt64>, count: Int
  ) -> Int {
    unsafe countLoop(value, keys, count)
  }

  @unsafe public static func scoreSums(
    _ keys: UnsafePointer<UInt64>, count: Int, above cutoff: UInt64
  ) -> (all: Double, above: Double) {
    unsafe sumLoop(keys, count, cutoff) { $0 }
  }
}
