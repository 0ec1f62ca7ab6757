// Two keys that the threshold lies between with near certainty, from a sample of the scores. A wrong
// guess costs time, never a wrong mask.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The keys `low` and `high`: at least `low`, at most `high` is the threshold, if all goes well.
struct Bracket<K: BlockKernels> {
  let low: K.Key
  let high: K.Key
  /// Keys next to the bracket that very many weights have: too many to list, so they were left out.
  /// If the bracket misses, the threshold is most likely one of them.
  private(set) var floodBelow: K.Key?
  private(set) var floodAbove: K.Key?

  /// Of fewer weights than this, the keys are stored instead: they stay in a core's own cache.
  static var leastCount: Int { 1 << 15 }

  /// The bracket of a threshold that is known.
  init(around key: K.Key) {
    low = key
    high = key
  }

  /// Draws a sample and brackets the key of rank `keep`, from the top, of `count`.
  ///
  /// One score is drawn at random from each of equally long stretches, so that order in the data
  /// does not mislead. The bracket reaches three standard deviations of the rank to both sides: it
  /// misses once in several hundred times, which costs less than a wider one costs every time.
  ///
  /// - Parameter most: how many weights may lie in the bracket.
  init(
    _ scores: Scores, chunks: [Chunk], keep: Int, count: Int, most: Int, workers: Int
  ) {
    let share = Double(keep) / Double(count)
    let size = Bracket.sampleSize(count, share, most)
    let parts = (size + Block.largestCount - 1) / Block.largestCount
    let draws = Draws(count: count, size: size)
    let sample = Parallel.map(parts, workers: workers) { _, part in
      let start = part * Block.largestCount
      let end = min(size, start + Block.largestCount)
      return Bracket.draw(draws, start..<end, scores, chunks)
    }
    let rank = share * Double(size)
    let spread = 3 * (rank * (1 - share)).squareRoot() + 4
    let above = Int((rank - spread).rounded(.down)) - 1
    let below = Int((rank + spread).rounded(.up))
    let top = above >= 0 ? KeyRank<K>.find(above + 1, in: sample) : nil
    let bottom = below < size ? KeyRank<K>.find(below + 1, in: sample) : nil
    // A few keys that fill the room together are a flood each.
    let flood = min(size >> 8, Int(Double(size) * Double(most) / Double(count)) >> 3)
    self.init(from: bottom, through: top, flood: max(2, flood))
  }

  /// - Parameters:
  ///   - bottom, top: the ends, with how often each was drawn; nil: where all keys end.
  ///   - flood: a key that was drawn more often is left out, if another one is there.
  private init(from bottom: KeyRank<K>?, through top: KeyRank<K>?, flood: Int) {
    let least = K.excluded + 1
    let (first, last) = (max(least, bottom?.key ?? least), max(least, top?.key ?? K.Key.max))
    floodBelow = first < last && bottom?.alike ?? 0 > flood ? first : nil
    floodAbove = first < last && top?.alike ?? 0 > flood ? last : nil
    let (inner, outer) = (floodBelow.map { $0 + 1 } ?? first, floodAbove.map { $0 - 1 } ?? last)
    // Two floods with nothing between them: either may hold the threshold.
    low = min(inner, last)
    high = max(outer, low)
    if high == last { floodAbove = nil }
  }

  /// How many scores to draw of `count`, of which `share` are kept.
  ///
  /// With s draws the bracket holds about 6 count sqrt(share (1 - share) / s) weights. To draw one
  /// costs about twice as much as to list one, so time is least at the first size. The second fills no
  /// more than two thirds of the room for them.
  private static func sampleSize(_ count: Int, _ share: Double, _ most: Int) -> Int {
    let width = Double(count) * (share * (1 - share)).squareRoot()
    let fastest = cbrt(2.25 * width * width)
    let smallest = 81 * width / Double(most) * width / Double(most)
    // In full hundreds, since the last bit of a root is not the same on every machine.
    let size = Int(max(fastest, smallest)) / 100 * 100
    return min(max(1 << 13, size), max(1, count >> 4))
  }

  /// The keys at some of the sampled positions.
  private static func draw(
    _ draws: Draws, _ range: Range<Int>, _ scores: Scores, _ chunks: [Chunk]
  ) -> [K.Key] {
    let scratch = Scratch<K>()
    let positions = range.map(draws.position)
    var keys: [K.Key] = []
    keys.reserveCapacity(range.count)
    var picks: [Int] = []
    picks.reserveCapacity(range.count)
    var next = 0
    for chunk in chunks.dropFirst(Bracket.chunk(at: positions[0], in: chunks)) {
      picks.removeAll(keepingCapacity: true)
      while next < positions.count, positions[next] < chunk.offset + chunk.count {
        picks.append(positions[next] - chunk.offset)
        next += 1
      }
      scores.append(picks, of: chunk, to: &keys, scratch)
      if next == positions.count { break }
    }
    return keys
  }

  /// Which chunk a position lies in.
  private static func chunk(at position: Int, in chunks: [Chunk]) -> Int {
    var (low, high) = (0, chunks.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if chunks[middle].offset <= position { low = middle } else { high = middle }
    }
    return low
  }
}

/// A position at random in each of `size` stretches of `count` positions.
struct Draws {
  private let whole: Int
  /// In units of 2^-64.
  private let fraction: UInt64

  init(count: Int, size: Int) {
    let (whole, rest) = count.quotientAndRemainder(dividingBy: size)
    self.whole = whole
    fraction = UInt64(size).dividingFullWidth((UInt64(rest), 0)).quotient
  }

  /// Where stretch `i` begins: the integer part of i count / size, at times one less.
  private func start(_ i: Int) -> Int {
    i * whole + Int(fraction.multipliedFullWidth(by: UInt64(i)).high)
  }

  func position(_ i: Int) -> Int {
    let start = start(i)
    let length = UInt64(self.start(i + 1) - start)
    return start + Int(length.multipliedFullWidth(by: Generator.number(at: i, seed: 0x5EED)).high)
  }
}
