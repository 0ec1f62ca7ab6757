// The inner loops of a convolution in binary32: a tile of outputs and a tile of weight gradients.
// They are compiled once per CPU level; the size of a tile follows from the registers of the level.
// What must not live here: geometry, packing and threads, which belong to the engine.

/// The inner loops of a convolution, in tiles that fill the registers.
///
/// Every loop trusts its pointers. Each output is one sum over channels and, within a channel, over
/// taps, in order, whatever tile it lies in. Above the lowest CPU level, multiplications and
/// additions are fused, so outputs of different levels agree up to rounding, not to the last bit.
public enum ConvolutionTiles {
  /// Output channels of a tile; weights are packed in groups of this size.
  public static var rows: Int { FullTile<OneVector>.rows }

  /// Outputs of one vector.
  public static var lanes: Int { Lanes.scalarCount }

  /// The largest number of vectors of a tile.
  public static var vectors: Int { ThreeVectors.vectors }

  /// Taps that `correlate` processes at a time.
  public static var taps: Int {
    #if SWIFTFORCE_V4 || arch(arm64)
      12
    #else
      4
    #endif
  }

  /// Output channels that `correlate` processes at a time.
  public static var columns: Int { 2 * Lanes.scalarCount }

  /// target[r, l] (+)= the sum over channels k and taps t of
  /// weights[k * weightStride + positions[t] + r] * source[k * sourceStride + offsets[t] + l],
  /// for `rows` r and `vectors` * `lanes` l.
  ///
  /// - Parameters:
  ///   - vectors: 1, 2 or 3.
  ///   - accumulate: whether the sums are added to the target.
  @unsafe public static func multiply(
    _ source: UnsafePointer<Float>, sourceStride: Int, channels: Int, taps: Int,
    offsets: UnsafePointer<Int>, positions: UnsafePointer<Int>, weights: UnsafePointer<Float>,
    weightStride: Int, vectors: Int, accumulate: Bool, into target: UnsafeMutablePointer<Float>,
    targetStride: Int
  ) {
    switch vectors {
    case 1:
      unsafe fill(
        FullTile<OneVector>.self, source, sourceStride, channels, taps, offsets, positions, weights,
        weightStride, accumulate, target, targetStride)
    case 2:
      unsafe fill(
        FullTile<TwoVectors>.self, source, sourceStride, channels, taps, offsets, positions,
        weights, weightStride, accumulate, target, targetStride)
    default:
      unsafe fill(
        FullTile<ThreeVectors>.self, source, sourceStride, channels, taps, offsets, positions,
        weights, weightStride, accumulate, target, targetStride)
    }
  }

  @inline(__always)
  private static func fill<Tile: TileBody>(
    _: Tile.Type, _ source: UnsafePointer<Float>, _ sourceStride: Int, _ channels: Int, _ taps: Int,
    _ offsets: UnsafePointer<Int>, _ positions: UnsafePointer<Int>,
    _ weights: UnsafePointer<Float>, _ weightStride: Int, _ accumulate: Bool,
    _ target: UnsafeMutablePointer<Float>, _ targetStride: Int
  ) {
    var tile = unsafe accumulate ? Tile(target, stride: targetStride) : Tile()
    for channel in 0..<channels {
      let from = unsafe source + channel &* sourceStride
      let by = unsafe weights + channel &* weightStride
      for tap in 0..<taps {
        unsafe tile.add(Tile.Row(from + offsets[tap]), times: by + positions[tap])
      }
    }
    unsafe tile.store(to: target, stride: targetStride)
  }

  /// targets[t][c] += the sum over l of sources[t][l] * transposed[l * columns + c], for `taps` t,
  /// `columns` c and `count` l.
  ///
  /// - Parameters:
  ///   - offsets: index of each tap's first number in `source`.
  ///   - positions: index of each tap's first sum in `target`.
  @unsafe public static func correlate(
    _ source: UnsafePointer<Float>, offsets: UnsafePointer<Int>,
    with transposed: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<Float>,
    positions: UnsafePointer<Int>
  ) {
    // Start from zero: a long sum becomes a sum of short sums, whose error grows only with the
    // number of short sums.
    #if SWIFTFORCE_V4 || arch(arm64)
      var sums = TwelveTaps()
    #else
      var sums = FourTaps()
    #endif
    for l in 0..<count {
      let row = unsafe TwoVectors(transposed + l &* columns)
      unsafe sums.add(row, times: source + l, offsets)
    }
    unsafe sums.add(to: target, positions)
  }
}

/// Sums of four taps.
private struct FourTaps {
  var a = TwoVectors()
  var b = TwoVectors()
  var c = TwoVectors()
  var d = TwoVectors()

  @inline(__always)
  mutating func add(
    _ row: TwoVectors, times source: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>
  ) {
    unsafe a.add(row, times: Lanes(repeating: source[offsets[0]]))
    unsafe b.add(row, times: Lanes(repeating: source[offsets[1]]))
    unsafe c.add(row, times: Lanes(repeating: source[offsets[2]]))
    unsafe d.add(row, times: Lanes(repeating: source[offsets[3]]))
  }

  @inline(__always)
  func add(to target: UnsafeMutablePointer<Float>, _ positions: UnsafePointer<Int>) {
    unsafe a.add(to: target + positions[0])
    unsafe b.add(to: target + positions[1])
    unsafe c.add(to: target + positions[2])
    unsafe d.add(to: target + positions[3])
  }
}

/// Sums of twelve taps, which take 24 of 32 registers.
private struct TwelveTaps {
  var first = FourTaps()
  var second = FourTaps()
  var third = FourTaps()

  @inline(__always)
  mutating func add(
    _ row: TwoVectors, times source: UnsafePointer<Float>, _ offsets: UnsafePointer<Int>
  ) {
    unsafe first.add(row, times: source, offsets)
    unsafe second.add(row, times: source, offsets + 4)
    unsafe third.add(row, times: source, offsets + 8)
  }

  @inline(__always)
  func add(to target: UnsafeMutablePointer<Float>, _ positions: UnsafePointer<Int>) {
    unsafe first.add(to: target, positions)
    unsafe second.add(to: target, positions + 4)
    unsafe third.add(to: target, positions + 8)
  }
}
