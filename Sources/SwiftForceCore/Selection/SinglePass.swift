// The reading that writes the masks. Weights above the bracket are kept, those below are removed, and
// the few between are listed and settled exactly at the end.

import Synchronization

/// A selection in one reading. It gives up, and says so, where the bracket missed or too many scores
/// lie inside it; nothing is lost then but time.
struct SinglePass<K: BlockKernels> {
  let scores: Scores
  let goal: Goal
  let chunks: [Chunk]
  let workers: Int
  let output: MaskOutput<K>
  let bracket: Bracket<K>
  /// So many weights may be listed.
  let most: Int

  enum Goal {
    /// So many of the weights.
    case keep(Int)
    /// Those above a bracket of one key, and so many of that key; nil: all of them.
    case above(quota: Int?)
  }

  enum Outcome {
    case found(Found)
    /// The bracket missed: the threshold is above it, or below.
    case isAbove, isBelow
    /// There are more weights inside than may be listed.
    case isCrowded
  }

  /// What a selection found.
  struct Found {
    let survey: Survey
    let threshold: Threshold<K>
    let layerKept: [Int]
  }

  /// Bytes that a listed weight takes.
  static var listedSize: Int { MemoryLayout<K.Key>.size + MemoryLayout<UInt32>.size }

  /// - Throws: `nonFinite`; the masks are written by then.
  func run() throws(SFError) -> Outcome {
    let room = Room(most)
    let readings = read(room)
    var total = Survey()
    for reading in readings { total += reading.survey }
    if !total.isFinite { try scores.checkFinite() }
    let inside = readings.reduce(0) { $0 + $1.inside }
    if room.isExceeded { return .isCrowded }
    let wanted: Int
    switch goal {
    case .keep(let keep):
      wanted = keep - total.kept
      if wanted < 1 { return .isAbove }
    case .above(let quota): wanted = quota ?? inside
    }
    if wanted > inside { return .isBelow }
    let threshold = threshold(wanted, of: inside, readings)
    var layerKept = [Int](repeating: 0, count: output.masks.count)
    for (chunk, reading) in zip(chunks, readings) {
      layerKept[chunk.tensor] += reading.survey.kept
    }
    for (chunk, settled) in zip(chunks, settle(readings, threshold)) {
      total += settled
      layerKept[chunk.tensor] += settled.kept
    }
    return .found(Found(survey: total, threshold: threshold, layerKept: layerKept))
  }

  // MARK: Reading

  /// What a reading says of a chunk.
  private struct Reading {
    var survey = Survey()
    /// How many weights are undecided.
    var inside = 0
    /// Their keys and their positions in the chunk; none where all keys are the same.
    var keys: [K.Key] = []
    var positions: [UInt32] = []
  }

  /// Whether undecided weights are listed: not where they all have the same key.
  private var lists: Bool { bracket.low < bracket.high }

  private func read(_ room: Room) -> [Reading] {
    let most = chunks.reduce(0) { max($0, $1.count) }
    let desks = (0..<workers).map { _ in Desk<K>(room: lists ? most : 0) }
    return Parallel.map(chunks.count, workers: workers) { worker, round in
      read(chunks[round], desks[worker], room)
    }
  }

  private func read(_ chunk: Chunk, _ desk: Desk<K>, _ room: Room) -> Reading {
    var reading = Reading()
    let scratch = desk.scratch
    chunk.forEachBlock { block in
      guard !room.isExceeded else { return }
      let mask = unsafe output.mask(block)
      let found = unsafe scores.survey(scratch, block, bracket, into: mask)
      reading.survey += found
      if found.inside > 0 {
        if !lists {
          reading.inside += found.inside
          return
        }
        guard room.take(found.inside) else { return }
        unsafe K.collect(
          scratch.keys, mask, count: block.count, inside: found.inside,
          offset: UInt32(block.start - chunk.start), found: desk.keys + reading.inside,
          positions: desk.positions + reading.inside)
        reading.inside += found.inside
      }
      output.follow(block, &reading.survey)
    }
    if lists { (reading.keys, reading.positions) = desk.listed(reading.inside) }
    return reading
  }

  // MARK: Settling

  /// - Parameters:
  ///   - wanted: how many of the undecided weights are kept.
  ///   - inside: how many there are.
  private func threshold(_ wanted: Int, of inside: Int, _ readings: [Reading]) -> Threshold<K> {
    guard lists else { return Threshold(key: bracket.low, quota: wanted, alike: inside) }
    let rank = KeyRank<K>.find(
      wanted, in: readings.map(\.keys), from: bracket.low, through: bracket.high)
    return Threshold(key: rank.key, quota: rank.wanted, alike: rank.alike)
  }

  /// Keeps those undecided weights that are above the threshold, and as many equal to it as there is
  /// room for, in order.
  ///
  /// - Returns: what changes with that, for each chunk.
  private func settle(_ readings: [Reading], _ threshold: Threshold<K>) -> [Survey] {
    let quotas = quotas(readings, threshold)
    return Parallel.map(chunks.count, workers: workers) { _, round in
      let reading = readings[round]
      guard reading.inside > 0 else { return Survey() }
      return lists
        ? settle(chunks[round], reading, threshold, quotas[round])
        : settle(chunks[round], quotas[round], K.score(of: threshold.key))
    }
  }

  /// How many of the keys that equal the threshold each chunk keeps: the first ones of all.
  private func quotas(_ readings: [Reading], _ threshold: Threshold<K>) -> [Int] {
    var quota = threshold.quota
    guard quota < threshold.alike else { return readings.map(\.inside) }
    return readings.map { reading in
      let ties =
        lists
        ? reading.keys.reduce(0) { $0 + ($1 == threshold.key ? 1 : 0) } : reading.inside
      let own = min(quota, ties)
      quota -= own
      return own
    }
  }

  private func settle(
    _ chunk: Chunk, _ reading: Reading, _ threshold: Threshold<K>, _ ties: Int
  ) -> Survey {
    var survey = Survey()
    var quota = ties
    var positions: [Int] = []
    positions.reserveCapacity(reading.inside)
    for i in 0..<reading.inside where reading.keys[i] >= threshold.key {
      let key = reading.keys[i]
      if key == threshold.key {
        guard quota > 0 else { continue }
        quota -= 1
      }
      positions.append(chunk.start + Int(reading.positions[i]))
      survey.saliency += Double(K.score(of: key))
    }
    output.keep(positions, of: chunk.tensor, &survey)
    return survey
  }

  /// As above, where all undecided weights have one score.
  private func settle(_ chunk: Chunk, _ ties: Int, _ score: K.Score) -> Survey {
    var survey = Survey()
    var quota = ties
    chunk.forEachBlock { block in
      let found = unsafe K.settle(output.mask(block), count: block.count, quota: &quota)
      guard found.undecided > 0 else { return }
      survey.kept += found.kept
      output.follow(block, &survey)
    }
    survey.saliency = Double(survey.kept) * Double(score)
    return survey
  }
}

/// The smallest kept score, as a key; how many keys equal it, and how many of them are kept.
struct Threshold<K: BlockKernels> {
  let key: K.Key
  let quota: Int
  let alike: Int
}

/// How many more weights all workers together may list. Whether there are too many then depends on
/// the weights alone, not on who met them.
private final class Room: Sendable {
  private let left: Atomic<Int>

  init(_ most: Int) { left = Atomic(most) }

  var isExceeded: Bool { left.load(ordering: .relaxed) < 0 }

  /// Takes room for `count` weights; whether there was any.
  func take(_ count: Int) -> Bool {
    left.wrappingSubtract(count, ordering: .relaxed).newValue >= 0
  }
}

/// What one worker has at hand: room for a block's keys, and for the undecided weights of a chunk.
@safe private final class Desk<K: BlockKernels> {
  let scratch = Scratch<K>()
  let keys: UnsafeMutablePointer<K.Key>
  let positions: UnsafeMutablePointer<UInt32>

  /// - Parameter room: so many weights may be listed of a chunk.
  init(room: Int) {
    // What collects them writes one more.
    unsafe keys = UnsafeMutablePointer.allocate(capacity: room + 1)
    unsafe positions = UnsafeMutablePointer.allocate(capacity: room + 1)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe positions.deallocate()
  }

  /// The first `count` of the list.
  func listed(_ count: Int) -> (keys: [K.Key], positions: [UInt32]) {
    unsafe (
      Array(UnsafeBufferPointer(start: keys, count: count)),
      Array(UnsafeBufferPointer(start: positions, count: count))
    )
  }
}
