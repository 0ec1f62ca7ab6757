// Conversion from the element types of arrays to the type of scores. It is exact, because each type
// of scores holds every value of the types that are widened to it. What must not live here:
// arithmetic on the values.

/// The numbers by which callers name element types.
public enum ElementCode {
  public static let float32 = 0
  public static let float64 = 1
  public static let float16 = 2
  public static let bfloat16 = 3
}

/// The value of a bfloat16: the upper half of a binary32.
@inline(__always)
func widenedBFloat16(_ bits: UInt16) -> Float {
  Float(bitPattern: UInt32(bits) << 16)
}

/// The value of an IEEE binary16, computed by operations that every CPU level vectorises.
@inline(__always)
func widenedFloat16(_ bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let magnitude = UInt32(bits & 0x7FFF) << 13
  // This product changes the exponent bias from 15 to 127. It is exact for every finite value,
  // including subnormal ones.
  let scaled = Float(bitPattern: magnitude) * Float(bitPattern: 0x7780_0000)
  let special: UInt32 = magnitude >= 0x0F80_0000 ? 0x7F80_0000 : 0
  return Float(bitPattern: scaled.bitPattern | special | sign)
}

extension Blocks {
  /// `count` elements from `start` on in the type of scores: in place if the array has that type,
  /// else converted into `scratch`.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func widen(
    _ base: UnsafeRawPointer, code: Int, start: Int, count: Int,
    scratch: UnsafeMutablePointer<Score>
  ) -> UnsafePointer<Score> {
    switch code {
    case ElementCode.float64:
      let source = unsafe base.assumingMemoryBound(to: Double.self) + start
      if Score.self == Double.self {
        return unsafe UnsafeRawPointer(source).assumingMemoryBound(to: Score.self)
      }
      for i in 0..<count { unsafe scratch[i] = Score(source[i]) }
    case ElementCode.float16:
      let source = unsafe base.assumingMemoryBound(to: UInt16.self) + start
      for i in 0..<count { unsafe scratch[i] = Score(widenedFloat16(source[i])) }
    case ElementCode.bfloat16:
      let source = unsafe base.assumingMemoryBound(to: UInt16.self) + start
      for i in 0..<count { unsafe scratch[i] = Score(widenedBFloat16(source[i])) }
    default:
      let source = unsafe base.assumingMemoryBound(to: Float.self) + start
      if Score.self == Float.self {
        return unsafe UnsafeRawPointer(source).assumingMemoryBound(to: Score.self)
      }
      for i in 0..<count { unsafe scratch[i] = Score(source[i]) }
    }
    return unsafe UnsafePointer(scratch)
  }

  /// Writes the elements at `count` positions into `scratch`, in the type of scores.
  @specialized(where Score == Float)
  @specialized(where Score == Double)
  @unsafe public static func gather(
    _ base: UnsafeRawPointer, code: Int, positions: UnsafePointer<Int>, count: Int,
    scratch: UnsafeMutablePointer<Score>
  ) {
    switch code {
    case ElementCode.float64:
      let source = unsafe base.assumingMemoryBound(to: Double.self)
      for i in 0..<count { unsafe scratch[i] = Score(source[positions[i]]) }
    case ElementCode.float16:
      let source = unsafe base.assumingMemoryBound(to: UInt16.self)
      for i in 0..<count { unsafe scratch[i] = Score(widenedFloat16(source[positions[i]])) }
    case ElementCode.bfloat16:
      let source = unsafe base.assumingMemoryBound(to: UInt16.self)
      for i in 0..<count { unsafe scratch[i] = Score(widenedBFloat16(source[positions[i]])) }
    default:
      let source = unsafe base.assumingMemoryBound(to: Float.self)
      for i in 0..<count { unsafe scratch[i] = Score(source[positions[i]]) }
    }
  }
}
