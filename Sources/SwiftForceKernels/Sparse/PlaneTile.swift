// The registers of a sparse product over planes: sums of successive positions. What must not live
// here: the loop over kept weights.

/// The sums of successive elements of a plane, in pieces of eight.
protocol PlaneTile {
  /// Pieces of eight.
  static var pieces: Int { get }

  init(repeating value: Float)

  /// Adds weight times the elements that begin at `source`.
  mutating func add(_ source: UnsafePointer<Float>, times weight: Float)

  mutating func add(_ other: Self)

  func store(to target: UnsafeMutablePointer<Float>)
}

struct OnePiece: PlaneTile {
  static var pieces: Int { 1 }
  var sums: SIMD8<Float>

  @inline(__always)
  init(repeating value: Float) { sums = SIMD8(repeating: value) }

  @inline(__always)
  mutating func add(_ source: UnsafePointer<Float>, times weight: Float) {
    let x = unsafe UnsafeRawPointer(source).loadUnaligned(as: SIMD8<Float>.self)
    sums = sums.adding(x, times: SIMD8(repeating: weight))
  }

  @inline(__always)
  mutating func add(_ other: OnePiece) { sums += other.sums }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Float>) {
    unsafe UnsafeMutableRawPointer(target).storeBytes(of: sums, as: SIMD8<Float>.self)
  }
}

struct TwoPieces: PlaneTile {
  static var pieces: Int { 2 }
  var sums: SIMD16<Float>

  @inline(__always)
  init(repeating value: Float) { sums = SIMD16(repeating: value) }

  @inline(__always)
  mutating func add(_ source: UnsafePointer<Float>, times weight: Float) {
    let x = unsafe UnsafeRawPointer(source).loadUnaligned(as: SIMD16<Float>.self)
    sums = sums.adding(x, times: SIMD16(repeating: weight))
  }

  @inline(__always)
  mutating func add(_ other: TwoPieces) { sums += other.sums }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Float>) {
    unsafe UnsafeMutableRawPointer(target).storeBytes(of: sums, as: SIMD16<Float>.self)
  }
}

struct Pieces<Low: PlaneTile, High: PlaneTile>: PlaneTile {
  static var pieces: Int { Low.pieces + High.pieces }
  var low: Low
  var high: High

  @inline(__always)
  init(repeating value: Float) {
    low = Low(repeating: value)
    high = High(repeating: value)
  }

  @inline(__always)
  mutating func add(_ source: UnsafePointer<Float>, times weight: Float) {
    unsafe low.add(source, times: weight)
    unsafe high.add(source + 8 * Low.pieces, times: weight)
  }

  @inline(__always)
  mutating func add(_ other: Self) {
    low.add(other.low)
    high.add(other.high)
  }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Float>) {
    unsafe low.store(to: target)
    unsafe high.store(to: target + 8 * Low.pieces)
  }
}

typealias ThreePieces = Pieces<TwoPieces, OnePiece>
typealias FourPieces = Pieces<TwoPieces, TwoPieces>
typealias EightPieces = Pieces<FourPieces, FourPieces>
typealias TwelvePieces = Pieces<EightPieces, FourPieces>

extension PlaneTile {
  /// Registers that the sums take.
  static var registers: Int {
    #if SWIFTFORCE_V4
      (pieces + 1) / 2
    #elseif SWIFTFORCE_V3
      pieces
    #else
      2 * pieces
    #endif
  }
}
