// The fast way: one reading of the tensors. Weights above the bracket are kept, those below are
// removed, and the few between are listed and settled exactly at the end.

import Synchronization

/// A selection in one reading. It gives up, and says so, where the bracket missed or too many scores
/// lie inside it; nothing is lost then but time.
struct SinglePass<K: BlockKernels> {
  let scores: Scores
  let keep: Int
  let chunks: [Chunk]
  let workers: Int
  let output: MaskOutput<K>
  let bracket: Bracket<K>
  /// More listed weights than this are too many: with their keys and positions they would take
  /// more memory than may be asked for.
  let limit: Int

  enum Outcome {
    case selected(Survey, Threshold<K>, layerKept: [Int])
    case undecided
  }

  /// - Throws: `nonFinite`; the masks are written by then.
  func run() throws(SFError) -> Outcome {
    let found = listed()
    var total = Survey()
    for part in found.parts { total += part.survey }
    if !total.isFinite { try scores.checkFinite() }
    let wanted = keep - total.kept
    guard !found.isFlooded, wanted >= 1, wanted <= found.count else { return .undecided }
    let rank = KeyRank<K>.find(wanted, in: found.keys)
    let threshold = Threshold<K>(key: rank.key, quota: rank.wanted, alike: rank.alike)
    var layerKept = [Int](repeating: 0, count: output.masks.count)
    for (chunk, part) in zip(chunks, found.parts) {
      layerKept[chunk.tensor] += part.survey.kept
    }
    settle(found, threshold, &total, &layerKept)
    return .selected(total, threshold, layerKept: layerKept)
  }

  /// What the reading lists.
  private struct Listed {
    let lists: [Candidates<K>]
    let parts: [Part]

    var isFlooded: Bool { lists.contains { $0.isFull } }
    var count: Int { lists.reduce(0) { $0 + $1.count } }
    var keys: [K.Key] { lists.flatMap { unsafe Array($0.allKeys) } }
  }

  /// The figures of a chunk, the worker that read it, and where in that one's list its weights are.
  private struct Part {
    let survey: Survey
    let worker: Int
    let range: Range<Int>
  }

  private func listed() -> Listed {
    let room = Room(limit)
    let lists = (0..<workers).map { _ in Candidates<K>(room) }
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    let parts = Parallel.map(chunks.count, workers: workers) { worker, round in
      let list = lists[worker]
      let first = list.count
      let survey = read(chunks[round], scratches[worker], list)
      return Part(survey: survey, worker: worker, range: first..<list.count)
    }
    return Listed(lists: lists, parts: parts)
  }

  private func read(_ chunk: Chunk, _ scratch: Scratch<K>, _ list: Candidates<K>) -> Survey {
    var survey = Survey()
    chunk.forEachBlock { block in
      guard !list.isFull else { return }
      survey.isFinite = scores.fill(scratch, for: block) && survey.isFinite
      survey.add(scratch, block.count, above: bracket.high) { part in
        scores.request(part, after: block)
      }
      let mask = unsafe output.mask(block)
      let counts = unsafe K.classify(
        scratch.keys, count: block.count, low: bracket.low, high: bracket.high, into: mask)
      survey.kept += counts.above
      if counts.inside > 0 {
        unsafe list.add(scratch, mask, block, from: chunk, counts.inside)
      }
      output.follow(block, kept: counts.above, isRewritten: false, &survey)
    }
    return survey
  }

  /// Keeps those listed weights that are above the threshold, and as many equal to it as there is
  /// room for, in order.
  private func settle(
    _ found: Listed, _ threshold: Threshold<K>, _ total: inout Survey, _ layerKept: inout [Int]
  ) {
    var quota = threshold.quota
    for (chunk, part) in zip(chunks, found.parts) {
      let list = found.lists[part.worker]
      for i in part.range {
        let key = unsafe list.keys[i]
        guard key >= threshold.key else { continue }
        if key == threshold.key {
          guard quota > 0 else { continue }
          quota -= 1
        }
        let position = chunk.start + Int(unsafe list.positions[i])
        output.keep(chunk.tensor, position, &total)
        total.saliency += Double(K.score(of: key))
        layerKept[chunk.tensor] += 1
      }
    }
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

  init(_ limit: Int) { left = Atomic(limit) }

  /// Takes room for `count` weights; whether there was any.
  func take(_ count: Int) -> Bool {
    left.wrappingSubtract(count, ordering: .relaxed).newValue >= 0
  }
}

/// Keys and positions of the undecided weights that one worker met.
@safe final class Candidates<K: BlockKernels> {
  private(set) var keys: UnsafeMutablePointer<K.Key>
  /// Positions within the chunk.
  private(set) var positions: UnsafeMutablePointer<UInt32>
  private(set) var count = 0
  /// There were more than the limit: the list is not complete.
  private(set) var isFull = false
  private var capacity: Int
  private let room: Room

  fileprivate init(_ room: Room) {
    self.room = room
    capacity = 4 * Block.largestCount
    unsafe keys = UnsafeMutablePointer.allocate(capacity: capacity)
    unsafe positions = UnsafeMutablePointer.allocate(capacity: capacity)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe positions.deallocate()
  }

  var allKeys: UnsafeBufferPointer<K.Key> {
    unsafe UnsafeBufferPointer(start: keys, count: count)
  }

  /// Takes in the `inside` undecided weights of a block, and marks them as removed for now.
  func add(
    _ scratch: Scratch<K>, _ mask: UnsafeMutablePointer<UInt8>, _ block: Block,
    from chunk: Chunk, _ inside: Int
  ) {
    guard room.take(inside) else {
      isFull = true
      return
    }
    if count + inside >= capacity { grow(to: max(count + inside + 1, capacity + capacity / 2)) }
    unsafe K.collect(
      scratch.keys, mask, count: block.count, inside: inside,
      offset: UInt32(block.start - chunk.start), found: keys + count, positions: positions + count)
    count += inside
  }

  private func grow(to size: Int) {
    unsafe keys = moved(keys, to: size)
    unsafe positions = moved(positions, to: size)
    capacity = size
  }

  private func moved<Element>(
    _ old: UnsafeMutablePointer<Element>, to size: Int
  ) -> UnsafeMutablePointer<Element> {
    let new = UnsafeMutablePointer<Element>.allocate(capacity: size)
    unsafe new.moveInitialize(from: old, count: count)
    unsafe old.deallocate()
    return unsafe new
  }
}
