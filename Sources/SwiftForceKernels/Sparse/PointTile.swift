// The registers of a sparse product: the sums of a few points, one vector of sixteen samples each,
// and the address that each point reads from. What must not live here: the loop over kept weights.

/// Sixteen samples. Where registers are narrower, the compiler divides it among several.
typealias SixteenLanes = SIMD16<Float>

/// The sums of the points of a tile.
protocol PointTile {
  static var points: Int { get }

  /// - Parameter offsets: the elements from `source` to each point's origin.
  init(_ source: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>)

  /// Sets all sums.
  mutating func set(_ value: Float)

  /// Sets the sums of the first `count` points to vectors in memory.
  mutating func load(_ target: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>, _ count: Int)

  /// Adds weight times the vector that lies `bytes` behind each origin.
  mutating func add(at bytes: Int, times weight: SixteenLanes)

  /// Adds the products of these vectors and those that lie `bytes` behind each origin to two sums
  /// in turn, so that additions wait for each other less.
  func addProducts(at bytes: Int, to first: inout SixteenLanes, _ second: inout SixteenLanes)

  func store(to target: UnsafeMutablePointer<Float>, _ offsets: UnsafePointer<Int>)
}

@safe struct OnePoint: PointTile {
  static var points: Int { 1 }
  let origin: UnsafeRawPointer
  var sum = SixteenLanes()

  @inline(__always)
  init(_ source: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>) {
    unsafe origin = UnsafeRawPointer(source + offsets[0])
  }

  @inline(__always)
  mutating func set(_ value: Float) { sum = SixteenLanes(repeating: value) }

  @inline(__always)
  mutating func load(_ target: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>, _ count: Int) {
    guard count > 0 else { return }
    unsafe sum = UnsafeRawPointer(target + offsets[0]).loadUnaligned(as: SixteenLanes.self)
  }

  @inline(__always)
  mutating func add(at bytes: Int, times weight: SixteenLanes) {
    let x = unsafe (origin + bytes).loadUnaligned(as: SixteenLanes.self)
    sum = sum.adding(x, times: weight)
  }

  @inline(__always)
  func addProducts(at bytes: Int, to first: inout SixteenLanes, _: inout SixteenLanes) {
    let x = unsafe (origin + bytes).loadUnaligned(as: SixteenLanes.self)
    first = first.adding(x, times: sum)
  }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Float>, _ offsets: UnsafePointer<Int>) {
    unsafe UnsafeMutableRawPointer(target + offsets[0]).storeBytes(of: sum, as: SixteenLanes.self)
  }
}

struct TwicePoints<Half: PointTile>: PointTile {
  static var points: Int { 2 * Half.points }
  var low: Half
  var high: Half

  @inline(__always)
  init(_ source: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>) {
    unsafe low = Half(source, offsets)
    unsafe high = Half(source, offsets + Half.points)
  }

  @inline(__always)
  mutating func set(_ value: Float) {
    low.set(value)
    high.set(value)
  }

  @inline(__always)
  mutating func load(_ target: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>, _ count: Int) {
    unsafe low.load(target, offsets, count)
    unsafe high.load(target, offsets + Half.points, count &- Half.points)
  }

  @inline(__always)
  mutating func add(at bytes: Int, times weight: SixteenLanes) {
    low.add(at: bytes, times: weight)
    high.add(at: bytes, times: weight)
  }

  @inline(__always)
  func addProducts(at bytes: Int, to first: inout SixteenLanes, _ second: inout SixteenLanes) {
    low.addProducts(at: bytes, to: &first, &second)
    if Half.points == 1 {
      high.addProducts(at: bytes, to: &second, &first)
    } else {
      high.addProducts(at: bytes, to: &first, &second)
    }
  }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Float>, _ offsets: UnsafePointer<Int>) {
    unsafe low.store(to: target, offsets)
    unsafe high.store(to: target, offsets + Half.points)
  }
}

typealias TwoPoints = TwicePoints<OnePoint>
typealias FourPoints = TwicePoints<TwoPoints>

// Eight registers of sums everywhere: fewer would wait for each other, and more need more addresses
// than there are registers for.
#if SWIFTFORCE_V4
  typealias FullPointTile = TwicePoints<FourPoints>
#elseif SWIFTFORCE_V3 || arch(arm64)
  typealias FullPointTile = FourPoints
#else
  typealias FullPointTile = TwoPoints
#endif
