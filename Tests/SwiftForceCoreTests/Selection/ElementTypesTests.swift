// Arrays of every element type, mixed in one call: scores are computed from values widened to
// binary32, or to binary64 if an array holds it.

import Testing

@testable import SwiftForceCore

/// Small integers divided by a power of two, which every type represents exactly.
private func small(_ type: ElementType, count: Int, seed: UInt64) -> Stored {
  var generator = TestGenerator(state: seed)
  return Stored(
    type, (0..<count).map { _ in Double(Int.random(in: -127...127, using: &generator)) / 64 })
}

@Suite struct ElementTypesTests {
  @Test(arguments: ElementType.allCases, ElementType.allCases)
  func productsOfEveryPairOfTypes(weightType: ElementType, gradientType: ElementType) throws {
    for count in weightType == gradientType ? [17, 140_000] : [1, 513] {
      let weights = small(weightType, count: count, seed: 1)
      let gradients = small(gradientType, count: count, seed: 2)
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
              .connectionSensitivity, weights: weights.tensors([count]),
              gradients: gradients.tensors([count]), previous: nil, seed: 0),
            keep: keep, masks: masks.masks([count]), previous: nil, applying: nil, level: level)
        }
        report.passes = 0
        #expect(report == oracle.report, "\(level) n \(count)")
        #expect(masks.values == oracle.mask, "\(level) n \(count)")
      }
    }
  }

  /// Every finite value of the types of 16 bits, at every offset from a multiple of 32 bytes and with
  /// every number of weights left over: the masks of the same values in binary32.
  @Test(arguments: [ElementType.float16, .bfloat16], CPULevel.available)
  func valuesOf16BitsAreWidenedExactly(type: ElementType, level: CPULevel) throws {
    let infinity: UInt64 = type == .float16 ? 0x7C00 : 0x7F80
    var generator = TestGenerator(state: 4)
    let patterns = (0..<0x10000 as Range<UInt64>).filter { $0 & 0x7FFF < infinity }
      .shuffled(using: &generator)
    let weights = Stored(type, bits: patterns)
    let gradients = Stored(type, patterns.map { _ in Double.random(in: -1...1, using: &generator) })
    let count = patterns.count - 16
    for first in 0..<16 {
      let sizes = [first, count - first * 17 % 31]
      func select(_ weights: Stored, _ gradients: Stored) throws -> ([UInt8], Report) {
        let masks = Memory<UInt8>(masksOf: sizes[1])
        let report = try withExtendedLifetime((weights, gradients, masks)) {
          try Selection.select(
            from: Scores(
              .connectionSensitivity, weights: [weights.tensors(sizes)[1]],
              gradients: [gradients.tensors(sizes)[1]], previous: nil, seed: 0),
            keep: sizes[1] / 3, masks: masks.masks([sizes[1]]), previous: nil, applying: nil,
            level: level)
        }
        #expect(masks.isIntact)
        return (masks.values, report)
      }
      let (mask, report) = try select(weights, gradients)
      let wide = try select(
        Stored(.float32, weights.values), Stored(.float32, gradients.values))
      #expect(mask == wide.0, "from element \(first)")
      #expect(agree(report, wide.1), "from element \(first)")
    }
  }

  /// If an array holds binary64, differences that binary32 cannot represent decide.
  @Test func binary64IsNotRounded() throws {
    let scores = Stored(.float64, [1, 1 + 0x1p-50, 1 - 0x1p-50, 1 + 0x1p-51])
    let masks = Memory<UInt8>(masksOf: 4)
    let report = try withExtendedLifetime((scores, masks)) {
      try Selection.select(scores.tensors([4]), keep: 2, into: masks.masks([4]))
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
