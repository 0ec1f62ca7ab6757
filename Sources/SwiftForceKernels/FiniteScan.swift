// Looking for values that are not finite, once a cheaper test has said that there are some.

/// What a scan for NaN and infinity found.
public struct FiniteScan: Sendable {
  /// How many values are not finite.
  public let count: Int
  /// Position of the first one; 0 where there is none.
  public let firstIndex: Int

  /// Scans `count` values.
  @unsafe public init(_ values: UnsafePointer<Float>, count: Int) {
    self.init(count: count) { i in unsafe values[i].isFinite }
  }

  /// Scans the products of `count` factors, where the mask keeps them; nil: everywhere.
  @unsafe public init(
    products lhs: UnsafePointer<Float>, _ rhs: UnsafePointer<Float>,
    of mask: UnsafePointer<UInt8>?, count: Int
  ) {
    self.init(count: count) { i in
      if let mask = unsafe mask, unsafe mask[i] == 0 { return true }
      return unsafe (lhs[i] * rhs[i]).isFinite
    }
  }

  @inline(__always)
  private init(count: Int, _ isFinite: (Int) -> Bool) {
    var found = 0
    var first = count
    for i in 0..<count where !isFinite(i) {
      found += 1
      first = min(first, i)
    }
    self.count = found
    self.firstIndex = found > 0 ? first : 0
  }
}
