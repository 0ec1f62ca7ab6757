// The inner loops of sparse layers in binary32: products with lists of kept weights, and gradients
// of kept weights. They are compiled once per CPU level. What must not live here: geometry, the
// making of lists, and threads, which belong to the engine.

/// The inner loops of sparse layers.
///
/// A *point* is sixteen samples of one position of an image, or sixteen samples of flat features.
/// An *entry* says where a kept weight reads: entry * `unit` elements behind a point's origin. The
/// entries of a target channel are one list, and a *segment* is a range of it, given as two indices
/// into the channel's row of `starts`.
///
/// Every loop trusts its pointers and allocates nothing. Each output is one sum over a list, in
/// order, whatever tile its point lies in.
public enum SparseTiles {
  /// Samples of a point.
  public static var lanes: Int { SixteenLanes.scalarCount }

  /// Points that `multiply` computes together.
  public static var points: Int { FullPointTile.points }

  /// Computes one tile: for each target channel c and each of `points` points t,
  /// target[c * targetStride + targetOffsets[t]] = the channel's bias plus the sum over entries i
  /// of the segments of values[i] * source[sourceOffsets[t] + entries[i] * unit].
  ///
  /// - Parameters:
  ///   - starts: `startStride` indices of `entries` for each target channel, and one more.
  ///   - segments: two indices for each segment.
  ///   - bias: one element per target channel; nil: zeros.
  ///   - accumulate: whether the sums are added to the target, instead of the bias.
  @unsafe public static func multiply(
    _ source: UnsafePointer<Float>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    entries: UnsafePointer<Int32>, values: UnsafePointer<Float>, starts: UnsafePointer<Int32>,
    startStride: Int, segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    bias: UnsafePointer<Float>?, accumulate: Bool, into target: UnsafeMutablePointer<Float>,
    targetOffsets: UnsafePointer<Int>, targetStride: Int
  ) {
    let bytes = unit &* MemoryLayout<Float>.stride
    var tile = unsafe FullPointTile(source, sourceOffsets)
    for channel in 0..<channels {
      let to = unsafe target + channel &* targetStride
      let starts = unsafe starts + channel &* startStride
      if accumulate {
        unsafe tile.load(to, targetOffsets, points)
      } else if let bias = unsafe bias {
        unsafe tile.set(bias[channel])
      } else {
        tile.set(0)
      }
      for segment in 0..<segmentCount {
        let first = unsafe Int(starts[Int(segments[2 &* segment])])
        let end = unsafe Int(starts[Int(segments[2 &* segment &+ 1])])
        var i = first
        while i < end {
          unsafe tile.add(
            at: Int(entries[i]) &* bytes, times: SixteenLanes(repeating: values[i]))
          i &+= 1
        }
      }
      unsafe tile.store(to: to, targetOffsets)
    }
  }

  /// target[i] = values[order[i]].
  @unsafe public static func gather(
    _ values: UnsafePointer<Float>, order: UnsafePointer<Int32>, count: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { unsafe target[i] = values[Int(order[i])] }
  }

  /// target[order[i]] = values[i].
  @unsafe public static func scatter(
    _ values: UnsafePointer<Float>, order: UnsafePointer<Int32>, count: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { unsafe target[Int(order[i])] = values[i] }
  }
}
