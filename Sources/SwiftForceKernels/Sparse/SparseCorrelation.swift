// The inner loop of the gradient of kept weights in binary32, over points. What must not live here:
// the loop over tiles and the division among threads, which belong to the engine.

extension SparseTiles {
  /// Adds the products of one tile to the gradients of kept weights: for each target channel c and
  /// each entry i of its segments, target[i] += the sum over the first `count` points t and their
  /// sixteen samples of gradient[c * gradientStride + gradientOffsets[t]] *
  /// source[sourceOffsets[t] + entries[i] * unit]. The other parameters are those of `multiply`.
  ///
  /// - Parameter count: the points that are added; the offsets of the others must be valid, too.
  @unsafe public static func correlate(
    _ source: UnsafePointer<Float>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    with gradient: UnsafePointer<Float>, gradientOffsets: UnsafePointer<Int>, gradientStride: Int,
    count: Int, entries: UnsafePointer<Int32>, starts: UnsafePointer<Int32>, startStride: Int,
    segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    let bytes = unit &* MemoryLayout<Float>.stride
    let capacity = PendingSums.capacity
    unsafe withUnsafeTemporaryAllocation(of: SixteenLanes.self, capacity: capacity) { buffer in
      unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: capacity) { places in
        guard let buffer = buffer.baseAddress, let places = places.baseAddress else { return }
        let pending = unsafe PendingSums(buffer)
        var tile = unsafe FullPointTile(source, sourceOffsets)
        for channel in 0..<channels {
          let starts = unsafe starts + channel &* startStride
          tile.set(0)
          unsafe tile.load(gradient + channel &* gradientStride, gradientOffsets, count)
          var waiting = 0
          for segment in 0..<segmentCount {
            var i = unsafe Int(starts[Int(segments[2 &* segment])])
            let end = unsafe Int(starts[Int(segments[2 &* segment &+ 1])])
            while i < end {
              let stop = min(end, i &+ capacity &- waiting)
              let first = i
              while i < stop {
                var (even, odd) = (SixteenLanes(), SixteenLanes())
                unsafe tile.addProducts(at: Int(entries[i]) &* bytes, to: &even, &odd)
                pending.set(waiting &+ i &- first, to: even + odd)
                i &+= 1
              }
              for k in first..<stop { unsafe places[waiting &+ k &- first] = k }
              waiting &+= stop &- first
              if waiting == capacity {
                unsafe pending.add(waiting, to: target, at: places)
                waiting = 0
              }
            }
          }
          if waiting > 0 { unsafe pending.add(waiting, to: target, at: places) }
        }
      }
    }
  }
}

extension PendingSums {
  /// Adds the sums of the first `count` vectors to the elements at `places`.
  @inline(__always)
  fileprivate func add(
    _ count: Int, to target: UnsafeMutablePointer<Float>, at places: UnsafePointer<Int>
  ) {
    // Places ascend.
    if count == PendingSums.capacity, unsafe places[count &- 1] &- places[0] == count &- 1 {
      unsafe add(count, to: target + places[0])
      return
    }
    let totals = totals()
    for i in 0..<count { unsafe target[places[i]] += totals[i] }
  }
}
