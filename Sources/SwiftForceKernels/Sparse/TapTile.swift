// The registers of a sparse weight gradient: the sums of a few kept weights over sixteen samples,
// and the offset that each weight reads at. What must not live here: the loop over points.

/// The sums of a few taps, sixteen partial sums each.
protocol TapTile {
  static var taps: Int { get }

  /// - Parameter unit: the bytes from one entry to the next.
  init(_ entries: UnsafePointer<Int32>, unit: Int)

  /// Adds gradient times the vector that each tap reads behind `origin`.
  mutating func add(_ gradient: SixteenLanes, at origin: UnsafeRawPointer)
}

struct OneTap: TapTile {
  static var taps: Int { 1 }
  let bytes: Int
  var sum = SixteenLanes()

  @inline(__always)
  init(_ entries: UnsafePointer<Int32>, unit: Int) { unsafe bytes = Int(entries[0]) &* unit }

  @inline(__always)
  mutating func add(_ gradient: SixteenLanes, at origin: UnsafeRawPointer) {
    let x = unsafe (origin + bytes).loadUnaligned(as: SixteenLanes.self)
    sum = sum.adding(x, times: gradient)
  }

  /// The sums of lanes that are eight apart.
  var folded: SIMD8<Float> { @inline(__always) get { sum.lowHalf + sum.highHalf } }
}

struct TwiceTaps<Half: TapTile>: TapTile {
  static var taps: Int { 2 * Half.taps }
  var low: Half
  var high: Half

  @inline(__always)
  init(_ entries: UnsafePointer<Int32>, unit: Int) {
    unsafe low = Half(entries, unit: unit)
    unsafe high = Half(entries + Half.taps, unit: unit)
  }

  @inline(__always)
  mutating func add(_ gradient: SixteenLanes, at origin: UnsafeRawPointer) {
    unsafe low.add(gradient, at: origin)
    unsafe high.add(gradient, at: origin)
  }
}

extension TwiceTaps<OneTap> {
  /// The sums of both taps.
  @inline(__always)
  var total: SIMD2<Float> {
    let (a, b) = (low.folded, high.folded)
    let four = SIMD8(lowHalf: a.lowHalf + a.highHalf, highHalf: b.lowHalf + b.highHalf)
    let two = four.evenHalf + four.oddHalf
    return two.evenHalf + two.oddHalf
  }
}

extension TwiceTaps<TwiceTaps<OneTap>> {
  /// The sums of the four taps, four partial sums each: in each vector, one of a tap of `low` and
  /// one of the same tap of `high`.
  @inline(__always)
  fileprivate var quarters: (SIMD8<Float>, SIMD8<Float>) {
    let (a, b) = (low.low.folded, low.high.folded)
    let (c, d) = (high.low.folded, high.high.folded)
    return (
      SIMD8(lowHalf: a.lowHalf, highHalf: c.lowHalf)
        + SIMD8(lowHalf: a.highHalf, highHalf: c.highHalf),
      SIMD8(lowHalf: b.lowHalf, highHalf: d.lowHalf)
        + SIMD8(lowHalf: b.highHalf, highHalf: d.highHalf)
    )
  }

  /// The sums of the four taps.
  @inline(__always)
  var total: SIMD4<Float> {
    let (ac, bd) = quarters
    let (x, y) = (ac.evenHalf + ac.oddHalf, bd.evenHalf + bd.oddHalf)
    let (a, b) = (x.evenHalf + x.oddHalf, y.evenHalf + y.oddHalf)
    return SIMD4(a.x, b.x, a.y, b.y)
  }
}

extension TwiceTaps<TwiceTaps<TwiceTaps<OneTap>>> {
  /// The sums of the eight taps.
  @inline(__always)
  var total: SIMD8<Float> { SIMD8(lowHalf: low.total, highHalf: high.total) }
}

typealias TwoTaps = TwiceTaps<OneTap>
typealias FourTapSums = TwiceTaps<TwoTaps>

#if SWIFTFORCE_V4
  typealias FullTapTile = TwiceTaps<FourTapSums>
#elseif SWIFTFORCE_V3 || arch(arm64)
  typealias FullTapTile = FourTapSums
#else
  typealias FullTapTile = TwoTaps
#endif
