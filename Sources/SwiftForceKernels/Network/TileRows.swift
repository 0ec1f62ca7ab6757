// The registers of a convolution tile: four or eight rows of one, two or three vectors. What must
// not live here: the loops that fill them.

/// One row of a tile: adjacent vectors that are multiplied by the same weight.
protocol TileRow {
  static var vectors: Int { get }
  init()
  init(_ source: UnsafePointer<Float>)
  /// Adds x * weight.
  mutating func add(_ x: Self, times weight: Lanes)
  func store(to target: UnsafeMutablePointer<Float>)
}

struct OneVector: TileRow {
  static var vectors: Int { 1 }
  var a = Lanes()

  @inline(__always) init() {}
  @inline(__always) init(_ source: UnsafePointer<Float>) { unsafe a = source.lanes(at: 0) }

  @inline(__always) mutating func add(_ x: OneVector, times weight: Lanes) {
    a = a.adding(x.a, times: weight)
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>) {
    unsafe target.store(a, at: 0)
  }
}

struct TwoVectors: TileRow {
  static var vectors: Int { 2 }
  var a = Lanes()
  var b = Lanes()

  @inline(__always) init() {}
  @inline(__always) init(_ source: UnsafePointer<Float>) {
    unsafe a = source.lanes(at: 0)
    unsafe b = source.lanes(at: Lanes.scalarCount)
  }

  @inline(__always) mutating func add(_ x: TwoVectors, times weight: Lanes) {
    a = a.adding(x.a, times: weight)
    b = b.adding(x.b, times: weight)
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>) {
    unsafe target.store(a, at: 0)
    unsafe target.store(b, at: Lanes.scalarCount)
  }
  /// Adds these numbers to those in memory.
  @inline(__always) func add(to target: UnsafeMutablePointer<Float>) {
    unsafe target.store(target.lanes(at: 0) + a, at: 0)
    unsafe target.store(
      target.lanes(at: Lanes.scalarCount) + b, at: Lanes.scalarCount)
  }
}

struct ThreeVectors: TileRow {
  static var vectors: Int { 3 }
  var a = Lanes()
  var b = Lanes()
  var c = Lanes()

  @inline(__always) init() {}
  @inline(__always) init(_ source: UnsafePointer<Float>) {
    unsafe a = source.lanes(at: 0)
    unsafe b = source.lanes(at: Lanes.scalarCount)
    unsafe c = source.lanes(at: 2 * Lanes.scalarCount)
  }

  @inline(__always) mutating func add(_ x: ThreeVectors, times weight: Lanes) {
    a = a.adding(x.a, times: weight)
    b = b.adding(x.b, times: weight)
    c = c.adding(x.c, times: weight)
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>) {
    unsafe target.store(a, at: 0)
    unsafe target.store(b, at: Lanes.scalarCount)
    unsafe target.store(c, at: 2 * Lanes.scalarCount)
  }
}

/// All rows of a tile.
protocol TileBody {
  associatedtype Row: TileRow
  static var rows: Int { get }
  init()
  init(_ source: UnsafePointer<Float>, stride: Int)
  /// Adds x * weights[r] to each row r.
  mutating func add(_ x: Row, times weights: UnsafePointer<Float>)
  func store(to target: UnsafeMutablePointer<Float>, stride: Int)
}

struct FourRows<Row: TileRow>: TileBody {
  static var rows: Int { 4 }
  var a = Row()
  var b = Row()
  var c = Row()
  var d = Row()

  @inline(__always) init() {}
  @inline(__always) init(_ source: UnsafePointer<Float>, stride: Int) {
    unsafe a = Row(source)
    unsafe b = Row(source + stride)
    unsafe c = Row(source + 2 * stride)
    unsafe d = Row(source + 3 * stride)
  }

  @inline(__always) mutating func add(_ x: Row, times weights: UnsafePointer<Float>) {
    unsafe a.add(x, times: Lanes(repeating: weights[0]))
    unsafe b.add(x, times: Lanes(repeating: weights[1]))
    unsafe c.add(x, times: Lanes(repeating: weights[2]))
    unsafe d.add(x, times: Lanes(repeating: weights[3]))
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>, stride: Int) {
    unsafe a.store(to: target)
    unsafe b.store(to: target + stride)
    unsafe c.store(to: target + 2 * stride)
    unsafe d.store(to: target + 3 * stride)
  }
}

struct EightRows<Row: TileRow>: TileBody {
  static var rows: Int { 8 }
  var low = FourRows<Row>()
  var high = FourRows<Row>()

  @inline(__always) init() {}
  @inline(__always) init(_ source: UnsafePointer<Float>, stride: Int) {
    unsafe low = FourRows(source, stride: stride)
    unsafe high = FourRows(source + 4 * stride, stride: stride)
  }

  @inline(__always) mutating func add(_ x: Row, times weights: UnsafePointer<Float>) {
    unsafe low.add(x, times: weights)
    unsafe high.add(x, times: weights + 4)
  }

  @inline(__always) func store(to target: UnsafeMutablePointer<Float>, stride: Int) {
    unsafe low.store(to: target, stride: stride)
    unsafe high.store(to: target + 4 * stride, stride: stride)
  }
}

// Eight rows of three vectors take 24 of 32 registers; four rows of three vectors take 12 of 16.
#if SWIFTFORCE_V4 || arch(arm64)
  typealias FullTile<Row: TileRow> = EightRows<Row>
#else
  typealias FullTile<Row: TileRow> = FourRows<Row>
#endif
