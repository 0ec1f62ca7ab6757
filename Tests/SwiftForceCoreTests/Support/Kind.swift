// The kinds of data that selection is tried on, and the ways in which one array is split into
// tensors. What must not live here: expectations.

/// A kind of data.
///
/// All values are finite multiples of a power of two, with at most 21 bits between that unit and
/// the largest value. So sums of eight of them are exact in binary32, and sums of many in binary64,
/// in any order.
enum Kind: CaseIterable {
  case random, mixedSigns, constant, sorted, reversed, fewValues, maximumLast, halfZeros
  case signedZeros, denormals

  func values(_ count: Int) -> [Float] {
    var generator = TestGenerator(state: UInt64(count) &* 31 &+ 7)
    func draw(_ bound: UInt32) -> Float { Float(UInt32.random(in: 0..<bound, using: &generator)) }
    let unit: Float = 0x1p-12
    switch self {
    case .random: return (0..<count).map { _ in draw(1 << 21) * unit }
    case .mixedSigns: return (0..<count).map { _ in (draw(1 << 21) - 1_048_576) * unit }
    case .constant: return [Float](repeating: 0.75, count: count)
    case .sorted: return (0..<count).map { Float($0) * unit }
    case .reversed: return (0..<count).map { Float(count - $0) * unit }
    case .fewValues: return (0..<count).map { _ in draw(4) - 1 }
    case .maximumLast: return (0..<count).map { $0 == count - 1 ? 512 : draw(1 << 17) * unit }
    case .halfZeros: return (0..<count).map { _ in draw(2) * draw(1 << 21) * unit }
    case .signedZeros: return (0..<count).map { _ in [-0.0, 0.0, -0.0, 0.0, 1, -1][Int(draw(6))] }
    case .denormals: return (0..<count).map { _ in Float(bitPattern: UInt32(draw(1 << 20))) }
    }
  }
}

/// Numbers with 9 bits and a sign, including zero. Products and squares are exact in binary32, sums
/// of eight of those, too, and sums of many in binary64.
func shortNumbers(_ count: Int, seed: UInt64) -> [Float] {
  var generator = TestGenerator(state: seed)
  return (0..<count).map { _ in
    Float(Int.random(in: -511...511, using: &generator)) * 0x1p-8
  }
}

/// Numbers of few values, so that many scores are equal and many are zero.
func tiedNumbers(_ count: Int, seed: UInt64) -> [Float] {
  var generator = TestGenerator(state: seed)
  return (0..<count).map { _ in Float(Int.random(in: -2...2, using: &generator)) }
}

/// Sizes of tensors that have `count` elements together: one tensor, many, some of them empty.
func splits(of count: Int) -> [[Int]] {
  var generator = TestGenerator(state: UInt64(count))
  let cut = count / 3
  var pieces: [Int] = []
  var left = count
  while left > 0 && pieces.count < 20 {
    pieces.append(Int.random(in: 0...min(left, max(1, count / 4)), using: &generator))
    left -= pieces[pieces.count - 1]
  }
  return [
    [count], [0, count, 0], [cut, 0, 0, count - cut], [min(1, count), max(0, count - 1)],
    pieces + [left],
  ]
}

/// A 64-bit linear congruential generator (Knuth's constants), of which the upper half is used.
/// Test data must not come from the generator under test.
struct TestGenerator: RandomNumberGenerator {
  var state: UInt64

  private mutating func half() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 32
  }

  mutating func next() -> UInt64 { half() << 32 | half() }
}
