// The loops of depthwise convolutions: one channel, for the samples of one block. What must not
// live here: which numbers a tap reads, which belongs to the engine.

/// Columns of a row that one position of a depthwise kernel reads. Positions count numbers of one
/// sample.
public struct TapRun: Sendable {
  /// The position of the kernel.
  public let tap: Int
  /// The position of the first column in the input image, and in the output image.
  public let input: Int
  public let output: Int
  public let columns: Int

  public init(tap: Int, input: Int, output: Int, columns: Int) {
    self.tap = tap
    self.input = input
    self.output = output
    self.columns = columns
  }
}

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func addTaps(
    _ input: UnsafePointer<Self>, weights: UnsafePointer<Self>, runs: UnsafePointer<TapRun>,
    count: Int, step: Int, lanes: Int, to output: UnsafeMutablePointer<Self>
  ) {
    for number in 0..<count {
      let run = unsafe runs[number]
      let weight = unsafe weights[run.tap]
      let from = unsafe input + run.input &* lanes
      let to = unsafe output + run.output &* lanes
      unsafe addColumns(from, step &* lanes, weight, run.columns, lanes, to, lanes)
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func addTransposedTaps(
    _ output: UnsafePointer<Self>, weights: UnsafePointer<Self>, runs: UnsafePointer<TapRun>,
    count: Int, step: Int, lanes: Int, to input: UnsafeMutablePointer<Self>
  ) {
    for number in 0..<count {
      let run = unsafe runs[number]
      let weight = unsafe weights[run.tap]
      let from = unsafe output + run.output &* lanes
      let to = unsafe input + run.input &* lanes
      unsafe addColumns(from, lanes, weight, run.columns, lanes, to, step &* lanes)
    }
  }

  @inline(__always)
  private static func addColumns(
    _ source: UnsafePointer<Self>, _ sourceStep: Int, _ weight: Self, _ columns: Int,
    _ lanes: Int, _ target: UnsafeMutablePointer<Self>, _ targetStep: Int
  ) {
    if sourceStep == targetStep {
      for i in 0..<columns &* lanes { unsafe target[i] += source[i] * weight }
      return
    }
    let factor = SIMD16<Self>(repeating: weight)
    for column in 0..<columns {
      let from = unsafe source + column &* sourceStep
      let to = unsafe target + column &* targetStep
      if lanes == 16 {
        unsafe store(load(to) + load(from) * factor, to: to)
      } else {
        for l in 0..<lanes { unsafe to[l] += from[l] * weight }
      }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func addTapProducts(
    _ input: UnsafePointer<Self>, outputGradient: UnsafePointer<Self>,
    runs: UnsafePointer<TapRun>, count: Int, step: Int, lanes: Int,
    to gradient: UnsafeMutablePointer<Self>
  ) {
    for number in 0..<count {
      let run = unsafe runs[number]
      let x = unsafe input + run.input &* lanes
      let g = unsafe outputGradient + run.output &* lanes
      if lanes == 16 {
        var sums = SIMD16<Self>()
        for column in 0..<run.columns {
          unsafe sums += load(x + column &* step &* 16) * load(g + column &* 16)
        }
        unsafe gradient[run.tap] += sums.sum()
      } else {
        var sum: Self = 0
        for column in 0..<run.columns {
          let (from, by) = unsafe (x + column &* step &* lanes, g + column &* lanes)
          for l in 0..<lanes { unsafe sum += from[l] * by[l] }
        }
        unsafe gradient[run.tap] += sum
      }
    }
  }
}
