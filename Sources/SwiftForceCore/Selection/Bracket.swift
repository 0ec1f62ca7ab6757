// Two keys that the threshold almost certainly lies between, estimated from a sample of the scores.
// A wrong estimate costs time, never a wrong mask. What must not live here: what is done with the
// weights inside (SinglePass).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The keys `low` and `high`. If the estimate is right, the threshold is in `low` ... `high`.
struct Bracket<K: BlockKernels> {
  let low: K.Key
  let high: K.Key
  /// Keys next to the bracket with more ties than can be listed, which were left out for that
  /// reason. If the bracket misses the threshold, one of them most likely is the threshold.
  private(set) var tiedKeyBelow: K.Key?
  private(set) var tiedKeyAbove: K.Key?

  /// The fewest weights that are sampled. With fewer, all keys are stored: they fit into the cache
  /// of a core.
  static var minimumCount: Int { 1 << 12 }

  /// The bracket of a threshold that is known.
  init(around key: K.Key) {
    low = key
    high = key
  }

  /// Takes a stratified sample of the scores and brackets the key of rank `keep` from the top.
  ///
  /// Strata make the estimate independent of any order in the data. The bracket reaches three
  /// standard deviations of the rank to both sides. It misses once in several hundred times, which
  /// costs less than a wider bracket costs every time.
  ///
  /// - Parameters:
  ///   - count: the number of weights.
  ///   - capacity: how many weights may lie in the bracket.
  init(
    _ scores: Scores, chunks: [Chunk], keep: Int, count: Int, capacity: Int, workers: Int
  ) {
    let share = Double(keep) / Double(count)
    let size = Bracket.sampleSize(count, share, capacity)
    let parts = (size + Block.largestCount - 1) / Block.largestCount
    let positions = StratifiedSample(count: count, size: size)
    let sample = Parallel.map(parts, workers: workers) { _, part in
      let start = part * Block.largestCount
      let end = min(size, start + Block.largestCount)
      return Bracket.keys(positions, start..<end, scores, chunks)
    }
    let rank = share * Double(size)
    let margin = 3 * (rank * (1 - share)).squareRoot() + 4
    let above = Int((rank - margin).rounded(.down)) - 1
    let below = Int((rank + margin).rounded(.up))
    let top = above >= 0 ? RadixSelect<K>.find(above + 1, in: sample) : nil
    let bottom = below < size ? RadixSelect<K>.find(below + 1, in: sample) : nil
    // Keys that occur more often in the sample would fill the capacity between them.
    let tieLimit = min(size >> 8, Int(Double(size) * Double(capacity) / Double(count)) >> 3)
    self.init(from: bottom, through: top, tieLimit: max(2, tieLimit))
  }

  /// - Parameters:
  ///   - bottom, top: the ends, with how often each occurs in the sample; nil: no limit.
  ///   - tieLimit: an end that occurs more often is left out, unless it is the only key.
  private init(from bottom: RadixSelect<K>?, through top: RadixSelect<K>?, tieLimit: Int) {
    let least = K.excluded + 1
    let (first, last) = (max(least, bottom?.key ?? least), max(least, top?.key ?? K.Key.max))
    tiedKeyBelow = first < last && bottom?.matches ?? 0 > tieLimit ? first : nil
    tiedKeyAbove = first < last && top?.matches ?? 0 > tieLimit ? last : nil
    let (inner, outer) = (tiedKeyBelow.map { $0 + 1 } ?? first, tiedKeyAbove.map { $0 - 1 } ?? last)
    // If both ends are left out and nothing lies between them, either may be the threshold.
    low = min(inner, last)
    high = max(outer, low)
    if high == last { tiedKeyAbove = nil }
  }

  /// The sample size for `count` scores, of which `share` are kept.
  ///
  /// With s samples the bracket holds about 6 count sqrt(share (1 - share) / s) weights. Sampling
  /// one score costs about twice as much as listing one, so the first size minimises the time. The
  /// second size fills at most two thirds of the capacity.
  static func sampleSize(_ count: Int, _ share: Double, _ capacity: Int) -> Int {
    let width = Double(count) * (share * (1 - share)).squareRoot()
    let fastest = cbrt(2.25 * width * width)
    let smallest = 81 * width / Double(capacity) * width / Double(capacity)
    // In full hundreds, since the last bit of a root is not the same on every machine.
    let size = Int(max(fastest, smallest)) / 100 * 100
    return min(max(1 << 10, size), max(1, count >> 4))
  }

  /// The keys at some of the sampled positions.
  private static func keys(
    _ sample: StratifiedSample, _ range: Range<Int>, _ scores: Scores, _ chunks: [Chunk]
  ) -> [K.Key] {
    let scratch = Scratch<K>()
    let positions = range.map(sample.position)
    var keys: [K.Key] = []
    keys.reserveCapacity(range.count)
    var indices: [Int] = []
    indices.reserveCapacity(range.count)
    var next = 0
    for chunk in chunks.dropFirst(Bracket.chunk(at: positions[0], in: chunks)) {
      indices.removeAll(keepingCapacity: true)
      while next < positions.count, positions[next] < chunk.offset + chunk.count {
        indices.append(positions[next] - chunk.offset)
        next += 1
      }
      scores.append(indices, of: chunk, to: &keys, scratch)
      if next == positions.count { break }
    }
    return keys
  }

  /// The index of the chunk that holds a position.
  private static func chunk(at position: Int, in chunks: [Chunk]) -> Int {
    var (low, high) = (0, chunks.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if chunks[middle].offset <= position { low = middle } else { high = middle }
    }
    return low
  }
}
