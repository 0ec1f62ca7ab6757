// A reference implementation of the inner loops of a convolution, for any type, one number at a
// time. Tests use it in Double to check gradients, and compare the loops of every CPU level with
// it. Nothing that ships runs it. What must not live here: optimisations by hand.

/// What `ConvolutionTiles` computes, for any type and with the same order of sums.
public enum ReferenceTiles<Element: Scalar> {
  public static var rows: Int { 2 }
  public static var lanes: Int { 2 }
  public static var vectors: Int { 3 }
  public static var taps: Int { 3 }
  public static var columns: Int { 4 }

  @unsafe public static func multiply(
    _ source: UnsafePointer<Element>, sourceStride: Int, channels: Int, taps: Int,
    offsets: UnsafePointer<Int>, positions: UnsafePointer<Int>, weights: UnsafePointer<Element>,
    weightStride: Int, vectors: Int, accumulate: Bool, into target: UnsafeMutablePointer<Element>,
    targetStride: Int
  ) {
    for row in 0..<rows {
      for l in 0..<vectors * lanes {
        var sum = unsafe accumulate ? target[row * targetStride + l] : 0
        for channel in 0..<channels {
          for tap in 0..<taps {
            unsafe sum +=
              weights[channel * weightStride + positions[tap] + row]
              * source[channel * sourceStride + offsets[tap] + l]
          }
        }
        unsafe target[row * targetStride + l] = sum
      }
    }
  }

  @unsafe public static func correlate(
    _ source: UnsafePointer<Element>, offsets: UnsafePointer<Int>,
    with transposed: UnsafePointer<Element>, count: Int,
    into target: UnsafeMutablePointer<Element>, positions: UnsafePointer<Int>
  ) {
    for tap in 0..<taps {
      for c in 0..<columns {
        var sum: Element = 0
        for l in 0..<count {
          unsafe sum += source[offsets[tap] + l] * transposed[l * columns + c]
        }
        unsafe target[positions[tap] + c] += sum
      }
    }
  }

  @unsafe public static func transpose(
    _ source: UnsafePointer<Element>, sourceStride: Int,
    into target: UnsafeMutablePointer<Element>, targetStride: Int
  ) {
    for l in 0..<lanes {
      for c in 0..<lanes {
        unsafe target[l * targetStride + c] = source[c * sourceStride + l]
      }
    }
  }

  @unsafe public static func copy(
    _ source: UnsafePointer<Element>, strides from: (channel: Int, column: Int, block: Int),
    into target: UnsafeMutablePointer<Element>, strides to: (channel: Int, column: Int, block: Int),
    channels: Int, columns: Int, blocks: Int, lanes: Int, zeros: (before: Int, after: Int)
  ) {
    for channel in 0..<channels {
      for column in -zeros.before..<columns + zeros.after {
        for block in 0..<blocks {
          for l in 0..<lanes {
            let place = channel * to.channel + (zeros.before + column) * to.column
            let read = channel * from.channel + column * from.column + block * from.block + l
            unsafe target[place + block * to.block + l] =
              (0..<columns).contains(column) ? source[read] : 0
          }
        }
      }
    }
  }
}
