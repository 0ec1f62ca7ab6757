// The counters of a radix pass, one set per worker. What must not live here: what is counted.

/// The counters of one worker.
@safe final class Histogram {
  let bins: UnsafeMutablePointer<Int>
  private let count: Int

  init(bins count: Int) {
    self.count = count
    unsafe bins = UnsafeMutablePointer.allocate(capacity: count)
    unsafe bins.initialize(repeating: 0, count: count)
  }

  deinit { unsafe bins.deallocate() }

  /// The sum of histograms of the same size, counter by counter.
  static func sum(_ parts: [Histogram]) -> [Int] {
    guard let first = parts.first else { return [] }
    var total = unsafe Array(UnsafeBufferPointer(start: first.bins, count: first.count))
    for part in parts.dropFirst() {
      for bin in 0..<first.count { total[bin] += unsafe part.bins[bin] }
    }
    return total
  }
}
