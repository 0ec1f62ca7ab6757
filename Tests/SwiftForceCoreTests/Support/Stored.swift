// Arrays of any element type for the code under test. Encoding and decoding are independent of that
// code. What must not live here: what is computed from the numbers.

import SwiftForceCore

/// Contiguous numbers of an element type, between guards.
struct Stored {
  let type: ElementType
  /// The stored values: the numbers that were passed, rounded to the element type.
  let values: [Double]
  private let bytes: Memory<UInt8>

  init(_ type: ElementType, _ numbers: [Double]) {
    self.init(type, bits: numbers.map { Stored.encoded($0, type) })
  }

  init(_ type: ElementType, bits: [UInt64]) {
    self.type = type
    values = bits.map { Stored.decoded($0, type) }
    var stored = [UInt8](repeating: 0, count: bits.count * type.size)
    for (i, bits) in bits.enumerated() {
      for byte in 0..<type.size {
        stored[i * type.size + byte] = UInt8(truncatingIfNeeded: bits >> (8 * UInt64(byte)))
      }
    }
    bytes = Memory(stored, guardedBy: 0xA5)
  }

  /// The elements as tensors of these sizes. The memory must outlive them.
  func tensors(_ sizes: [Int]) -> [Tensor] {
    zip(sizes, offsets(sizes)).map { size, offset in
      unsafe Tensor(UnsafeRawPointer(bytes.base + offset), count: size, type: type)
    }
  }

  func mutableTensors(_ sizes: [Int]) -> [MutableTensor] {
    zip(sizes, offsets(sizes)).map { size, offset in
      unsafe MutableTensor(UnsafeMutableRawPointer(bytes.base + offset), count: size, type: type)
    }
  }

  /// The elements' bits as they are now: -0 differs from +0, and NaN equals itself.
  var bits: [UInt64] {
    let stored = bytes.values
    return values.indices.map { i in
      (0..<type.size).reduce(0) { $0 | UInt64(stored[i * type.size + $1]) << (8 * UInt64($1)) }
    }
  }

  /// Whether nothing was written before or after the elements.
  var isIntact: Bool { bytes.isIntact }

  private func offsets(_ sizes: [Int]) -> [Int] {
    var next = 0
    return sizes.map { size in
      defer { next += size * type.size }
      return next
    }
  }

  /// The bits of a number, rounded to the element type.
  static func encoded(_ number: Double, _ type: ElementType) -> UInt64 {
    switch type {
    case .float64: number.bitPattern
    case .float32: UInt64(Float(number).bitPattern)
    case .bfloat16: UInt64(Float(number).bitPattern >> 16)
    case .float16: UInt64(binary16(number))
    }
  }

  private static func decoded(_ bits: UInt64, _ type: ElementType) -> Double {
    switch type {
    case .float64: Double(bitPattern: bits)
    case .float32: Double(Float(bitPattern: UInt32(bits)))
    case .bfloat16: Double(Float(bitPattern: UInt32(bits) << 16))
    case .float16: binary16(UInt16(bits))
    }
  }

  private static func binary16(_ number: Double) -> UInt16 {
    let sign: UInt16 = number.sign == .minus ? 0x8000 : 0
    guard number.isFinite else { return sign | (number.isNaN ? 0x7E00 : 0x7C00) }
    guard number.magnitude >= 0x1p-14 else { return sign | UInt16(number.magnitude * 0x1p24) }
    return sign | UInt16(number.exponent + 15) << 10 | UInt16(number.significand * 1024) & 0x3FF
  }

  private static func binary16(_ bits: UInt16) -> Double {
    let (exponent, fraction) = (Int(bits >> 10 & 31), Double(bits & 0x3FF))
    let sign: Double = bits >> 15 == 0 ? 1 : -1
    guard exponent < 31 else { return fraction == 0 ? sign * .infinity : .nan }
    guard exponent > 0 else { return sign * fraction * 0x1p-24 }
    return sign * Double(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
  }
}

extension Kind {
  /// Values of this kind for an element type. Their sums are exact in binary64 at the sizes of the
  /// tests.
  func values(_ count: Int, for type: ElementType) -> [Double] {
    switch (self, type) {
    case (.denormals, _):
      var generator = TestGenerator(state: UInt64(count) &+ 3)
      let patterns: Range<UInt64>
      switch type {
      case .float16: patterns = 0..<1 << 10
      case .bfloat16: patterns = 0..<1 << 7
      case .float32, .float64: patterns = 0..<1 << 23
      }
      return Stored(
        type, bits: (0..<count).map { _ in .random(in: patterns, using: &generator) }
      ).values
    case (.random, .float64), (.mixedSigns, .float64), (.halfZeros, .float64):
      // Differences that binary32 cannot represent.
      return values(count).enumerated().map { i, value in
        value == 0 ? 0 : Double(value) + Double(i * 37 % 256) * 0x1p-20
      }
    default:
      return values(count).map { Double($0) }
    }
  }
}
