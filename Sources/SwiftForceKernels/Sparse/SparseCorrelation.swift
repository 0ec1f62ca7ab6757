// The inner loop of the gradient of kept weights in binary32. What must not live here: the loop
// over tiles and the division among threads, which belong to the engine.

extension SparseTiles {
  /// Adds the products of one tile to the gradients of kept weights: for each target channel c and
  /// each entry i of its segments, target[i] += the sum over points t and their sixteen samples of
  /// gradient[c * gradientStride + gradientOffsets[t]] * source[sourceOffsets[t] +
  /// entries[i] * unit]. The other parameters are those of `multiply`.
  ///
  /// - Parameter points: any number.
  @unsafe public static func correlate(
    _ source: UnsafePointer<Float>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    with gradient: UnsafePointer<Float>, gradientOffsets: UnsafePointer<Int>, gradientStride: Int,
    points: Int, entries: UnsafePointer<Int32>, starts: UnsafePointer<Int32>, startStride: Int,
    segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    let taps = FullTapTile.taps
    let tile = unsafe PointSums(
      source: UnsafeRawPointer(source), sourceOffsets: sourceOffsets, gradient: gradient,
      gradientOffsets: gradientOffsets, points: points, unit: unit &* MemoryLayout<Float>.stride)
    unsafe withUnsafeTemporaryAllocation(of: Int32.self, capacity: 4 * taps) { buffer in
      guard let pending = buffer.baseAddress else { return }
      let places = unsafe pending + 2 * taps
      for channel in 0..<channels {
        let starts = unsafe starts + channel &* startStride
        let offset = channel &* gradientStride
        var count = 0
        for segment in 0..<segmentCount {
          var i = unsafe Int(starts[Int(segments[2 &* segment])])
          let end = unsafe Int(starts[Int(segments[2 &* segment &+ 1])])
          while i &+ taps <= end {
            unsafe tile.add(entries + i, offset, to: target + i)
            i &+= taps
          }
          // What is left of a segment is joined with what is left of others.
          while i < end {
            unsafe pending[count] = entries[i]
            unsafe places[count] = Int32(truncatingIfNeeded: i)
            i &+= 1
            count &+= 1
          }
          if count >= taps {
            unsafe tile.add(pending, offset, to: target, at: places, count: taps)
            count &-= taps
            for k in 0..<count {
              unsafe pending[k] = pending[taps &+ k]
              unsafe places[k] = places[taps &+ k]
            }
          }
        }
        if count > 0 {
          for k in count..<taps { unsafe pending[k] = pending[0] }
          unsafe tile.add(pending, offset, to: target, at: places, count: count)
        }
      }
    }
  }
}

/// The points of a tile, and the loop over them.
@safe private struct PointSums {
  let source: UnsafeRawPointer
  let sourceOffsets: UnsafePointer<Int>
  let gradient: UnsafePointer<Float>
  let gradientOffsets: UnsafePointer<Int>
  let points: Int
  /// Bytes.
  let unit: Int

  /// The sums of as many entries as a tile has taps.
  @inline(__always)
  private func sums(_ entries: UnsafePointer<Int32>, _ offset: Int) -> FullTapTile {
    var tile = unsafe FullTapTile(entries, unit: unit)
    let gradient = unsafe gradient + offset
    for t in 0..<points {
      let vector = unsafe UnsafeRawPointer(gradient + gradientOffsets[t])
        .loadUnaligned(as: SixteenLanes.self)
      unsafe tile.add(vector, at: source + sourceOffsets[t] &* MemoryLayout<Float>.stride)
    }
    return tile
  }

  /// Adds the sums to adjacent elements.
  @inline(__always)
  func add(
    _ entries: UnsafePointer<Int32>, _ offset: Int, to target: UnsafeMutablePointer<Float>
  ) {
    let total = unsafe sums(entries, offset).total
    let place = UnsafeMutableRawPointer(target)
    let sum = unsafe UnsafeRawPointer(place).loadUnaligned(as: type(of: total)) + total
    unsafe place.storeBytes(of: sum, as: type(of: total))
  }

  /// Adds the first sums to the elements at `places`.
  @inline(__always)
  func add(
    _ entries: UnsafePointer<Int32>, _ offset: Int, to target: UnsafeMutablePointer<Float>,
    at places: UnsafePointer<Int32>, count: Int
  ) {
    let total = unsafe sums(entries, offset).total
    for k in 0..<count { unsafe target[Int(places[k])] += total[k] }
  }
}
