// Arrays of every element type, mixed in one call: the scores are those of the values widened to
// binary32, or to binary64 where an array holds it.

import Testing

@testable import SwiftForceCore

/// Numbers stored in an element type, and their values.
private struct Stored {
  let type: ElementType
  let values: [Double]
  private let bytes: Memory<UInt8>

  /// Small integers over a power of two: every type holds them.
  init(_ type: ElementType, count: Int, seed: UInt64) {
    var generator = TestGenerator(state: seed)
    let values = (0..<count).map { _ in
      Double(Int.random(in: -127...127, using: &generator)) / 64
    }
    self.init(type, values)
  }

  init(_ type: ElementType, _ values: [Double]) {
    self.type = type
    self.values = values
    bytes = Memory(values.flatMap { Stored.bytes(of: $0, type) }, guardedBy: 0)
  }

  private static func bytes(of value: Double, _ type: ElementType) -> [UInt8] {
    switch type {
    case .float32: littleEndian(Float(value).bitPattern)
    case .float64: littleEndian(value.bitPattern)
    case .bfloat16: littleEndian(UInt16(Float(value).bitPattern >> 16))
    case .float16: littleEndian(binary16(value))
    }
  }

  private static func littleEndian(_ bits: some FixedWidthInteger) -> [UInt8] {
    (0..<bits.bitWidth / 8).map { UInt8(truncatingIfNeeded: bits >> ($0 * 8)) }
  }

  /// The bits of a value that binary16 holds.
  private static func binary16(_ value: Double) -> UInt16 {
    let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
    guard value != 0 else { return sign }
    guard value.magnitude >= 0x1p-14 else { return sign | UInt16(value.magnitude * 0x1p24) }
    return sign | UInt16(value.exponent + 15) << 10 | UInt16(value.significand * 1024) & 0x3FF
  }

  /// The memory must outlive the use of the tensor.
  var tensor: Tensor {
    unsafe Tensor(UnsafeRawPointer(bytes.base), count: values.count, type: type)
  }
}

@Suite struct ElementTypesTests {
  @Test(arguments: ElementType.allCases, ElementType.allCases)
  func productsOfEveryPairOfTypes(weightType: ElementType, gradientType: ElementType) throws {
    for count in weightType == gradientType ? [17, 140_000] : [1, 513] {
      let weights = Stored(weightType, count: count, seed: 1)
      let gradients = Stored(gradientType, count: count, seed: 2)
      // Exact in binary32: seven bits times seven.
      let scores = zip(weights.values, gradients.values).map { Float(abs($0 * $1)) }
      let keep = (count + 2) / 3
      let oracle = Oracle(
        scores, keep: keep, sizes: [count], gradients: gradients.values.map { Float($0) })
      for level in CPULevel.available {
        let masks = Memory<UInt8>(masksOf: count)
        var report = try withExtendedLifetime((weights, gradients, masks)) {
          try Selection.select(
            from: Scores(
              .connectionSensitivity, weights: [weights.tensor], gradients: [gradients.tensor],
              candidates: nil, seed: 0),
            keep: keep, masks: masks.masks([count]), previous: nil, applying: nil, level: level)
        }
        report.readings = 0
        #expect(report == oracle.report, "\(level) n \(count)")
        #expect(masks.values == oracle.mask, "\(level) n \(count)")
      }
    }
  }

  /// Differences that binary32 does not hold decide where an array holds binary64.
  @Test func binary64IsNotRounded() throws {
    let scores = Stored(.float64, [1, 1 + 0x1p-50, 1 - 0x1p-50, 1 + 0x1p-51])
    let masks = Memory<UInt8>(masksOf: 4)
    let report = try withExtendedLifetime((scores, masks)) {
      try Selection.select([scores.tensor], keep: 2, into: masks.masks([4]))
    }
    #expect(masks.values == [0, 1, 0, 1])
    #expect(report.threshold == 1 + 0x1p-51)
  }

  /// Every finite value of binary16, subnormal ones included, and every infinity and NaN.
  @Test func everyBinary16() {
    for bits in UInt16.min...UInt16.max {
      let memory = Memory<UInt16>([bits], guardedBy: 0)
      let value = withExtendedLifetime(memory) {
        unsafe Tensor(UnsafeRawPointer(memory.base), count: 1, type: .float16).element(0)
      }
      let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 0x3FF))
      let sign = bits >> 15 == 0 ? 1.0 : -1
      guard exponent < 31 else {
        #expect(fraction == 0 ? value == sign * .infinity : value.isNaN)
        continue
      }
      let magnitude =
        exponent == 0
        ? fraction * 0x1p-24
        : Double(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
      #expect(value == sign * magnitude && value.sign == (sign < 0 ? .minus : .plus))
    }
  }
}
