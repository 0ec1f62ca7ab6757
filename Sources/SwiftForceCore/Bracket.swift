// Two keys that the threshold lies between with near certainty, from a sample of the scores. A wrong
// guess costs time, never a wrong mask.

/// The keys `low` and `high`: at least `low`, at most `high` is the threshold, if all goes well.
struct Bracket<K: BlockKernels> {
  let low: K.Key
  let high: K.Key

  /// Fewer weights than this are read several times from the cache instead.
  static var leastCount: Int { 1 << 17 }

  /// Draws a sample and brackets the key of rank `keep`, from the top, of `count`.
  ///
  /// One score is drawn at random from each of equally long stretches, so that order in the data
  /// does not mislead. The bracket reaches four standard deviations of the rank to both sides.
  init(_ scores: Scores, chunks: [Chunk], keep: Int, count: Int, workers: Int) {
    let size = min(1 << 18, max(1 << 15, count >> 9))
    let share = (size + 63) / 64
    let parts = Parallel.map(64, workers: workers) { _, part in
      Bracket.draw(
        min(size, part * share)..<min(size, (part + 1) * share), of: size, scores, chunks, count)
    }
    let sample = Array(parts.joined())
    let rank = Double(keep) / Double(count) * Double(size)
    let spread = 4 * (rank * (1 - Double(keep) / Double(count))).squareRoot() + 4
    let above = Int((rank - spread).rounded(.down)) - 1
    let below = Int((rank + spread).rounded(.up))
    high = above >= 0 ? KeyRank<K>.find(above + 1, in: sample).key : K.Key.max
    // A key of 1 stands for all that compete.
    low = below < size ? max(1, KeyRank<K>.find(below + 1, in: sample).key) : 1
  }

  /// The keys at some of the sampled positions.
  private static func draw(
    _ range: Range<Int>, of size: Int, _ scores: Scores, _ chunks: [Chunk], _ count: Int
  ) -> [K.Key] {
    let scratch = Scratch<K>()
    var chunk = 0
    return range.map { i in
      let position = position(i, of: size, in: count)
      while chunks[chunk].offset + chunks[chunk].count <= position { chunk += 1 }
      let place = chunks[chunk]
      let block = Block(
        tensor: place.tensor, start: place.start + position - place.offset, count: 1,
        offset: position)
      _ = scores.fill(scratch, for: block)
      return unsafe scratch.keys.pointee
    }
  }

  /// A position at random in the i-th of `size` stretches.
  private static func position(_ i: Int, of size: Int, in count: Int) -> Int {
    let start = size.dividingFullWidth(count.multipliedFullWidth(by: i)).quotient
    let end = size.dividingFullWidth(count.multipliedFullWidth(by: i + 1)).quotient
    let bits = Generator.number(at: i, seed: 0x5EED)
    return start + Int(UInt64(end - start).multipliedFullWidth(by: bits).high)
  }
}
