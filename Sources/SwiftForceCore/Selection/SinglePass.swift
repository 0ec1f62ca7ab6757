// The pass that writes the masks. It keeps weights above the bracket and removes those below it.
// It lists the few weights inside the bracket and resolves them exactly at the end. What must not
// live here: where the bracket comes from (Bracket, SmallPass, RadixPass).

import Synchronization

/// A selection in one pass.
///
/// The pass stops early and reports it if the bracket missed the threshold or if too many scores
/// lie inside it. That costs time and nothing else.
struct SinglePass<K: BlockKernels> {
  let scores: Scores
  let request: Request
  let chunks: [Chunk]
  let workers: Int
  /// What is written; nil: the pass finds the threshold alone.
  let output: MaskOutput<K>?
  let bracket: Bracket<K>
  /// How many weights may be listed.
  let capacity: Int

  /// Which weights to keep.
  enum Request {
    /// This many weights, by score and then by position.
    case count(Int)
    /// All weights above a bracket of one key, and this many whose key it is; nil: all of those.
    case aboveBracket(ties: Int?)
  }

  enum Result {
    case selected(Selected)
    /// The bracket missed: the threshold is above it, or below it.
    case thresholdIsAbove, thresholdIsBelow
    /// More weights lie inside the bracket than may be listed.
    case exceedsCapacity
  }

  /// A finished selection.
  struct Selected {
    let statistics: Statistics
    let threshold: Threshold<K>
    /// How many weights whose key is the threshold are kept of each chunk: the first ones, but no
    /// more than it has.
    let keptTies: [Int]
    /// How many weights each tensor keeps; empty if nothing is written.
    let layerKept: [Int]
  }

  /// Bytes that one listed weight takes.
  static var listedSize: Int { MemoryLayout<K.Key>.size + MemoryLayout<UInt32>.size }

  /// - Throws: `nonFinite`, after the masks were written.
  func run() throws(SFError) -> Result {
    let remaining = RemainingCapacity(capacity)
    let results = classify(remaining)
    var total = Statistics()
    for result in results { total += result.statistics }
    if !total.isFinite { try scores.checkFinite() }
    let inside = results.reduce(0) { $0 + $1.inside }
    if remaining.isExceeded { return .exceedsCapacity }
    let keptInside: Int
    switch request {
    case .count(let keep):
      keptInside = keep - total.kept
      if keptInside < 1 { return .thresholdIsAbove }
    case .aboveBracket(let ties): keptInside = ties ?? inside
    }
    if keptInside > inside { return .thresholdIsBelow }
    let threshold = threshold(keptInside, of: inside, results)
    let keptTies = keptTies(results, threshold)
    var layerKept: [Int] = []
    if let output {
      layerKept = [Int](repeating: 0, count: output.masks.count)
      for (chunk, result) in zip(chunks, results) {
        layerKept[chunk.tensor] += result.statistics.kept
      }
      for (chunk, resolved) in zip(chunks, resolve(results, threshold, keptTies, output)) {
        total += resolved
        layerKept[chunk.tensor] += resolved.kept
      }
    }
    return .selected(
      Selected(
        statistics: total, threshold: threshold, keptTies: keptTies, layerKept: layerKept))
  }

  // MARK: Classifying

  /// The statistics of one chunk, and its undecided weights.
  private struct ChunkResult {
    var statistics = Statistics()
    /// How many weights are undecided.
    var inside = 0
    /// Keys of the undecided weights and their positions in the chunk; empty if all keys are equal.
    var keys: [K.Key] = []
    var positions: [UInt32] = []
  }

  /// Whether undecided weights are listed. They are not if they all have the same key.
  private var lists: Bool { bracket.low < bracket.high }

  private func classify(_ remaining: RemainingCapacity) -> [ChunkResult] {
    let largest = chunks.reduce(0) { max($0, $1.count) }
    let buffers = (0..<workers).map { _ in WorkerBuffers<K>(capacity: lists ? largest : 0) }
    return Parallel.map(chunks.count, workers: workers) { worker, round in
      classify(chunks[round], buffers[worker], remaining)
    }
  }

  private func classify(
    _ chunk: Chunk, _ buffers: WorkerBuffers<K>, _ remaining: RemainingCapacity
  ) -> ChunkResult {
    var result = ChunkResult()
    let scratch = buffers.scratch
    chunk.forEachBlock { block in
      guard !remaining.isExceeded else { return }
      let mask = unsafe output?.mask(block) ?? scratch.mask
      let (found, objective) = unsafe scores.classify(scratch, block, bracket, into: mask)
      result.statistics += found
      result.statistics.objective += objective
      if found.inside > 0 {
        if !lists {
          result.inside += found.inside
          return
        }
        guard remaining.take(found.inside) else { return }
        unsafe K.collect(
          scratch.keys, mask, count: block.count, offset: UInt32(block.start - chunk.start),
          found: buffers.keys + result.inside,
          positions: buffers.positions + result.inside)
        result.inside += found.inside
      }
      output?.commit(block, &result.statistics)
    }
    if lists { (result.keys, result.positions) = buffers.listed(result.inside) }
    return result
  }

  // MARK: Resolving undecided weights

  /// - Parameters:
  ///   - keptInside: how many of the undecided weights are kept.
  ///   - inside: how many there are.
  private func threshold(
    _ keptInside: Int, of inside: Int, _ results: [ChunkResult]
  ) -> Threshold<K> {
    guard lists else { return Threshold(key: bracket.low, keptTies: keptInside, ties: inside) }
    let found = RadixSelect<K>.find(
      keptInside, in: results.map(\.keys), from: bracket.low, through: bracket.high)
    return Threshold(key: found.key, keptTies: found.rank, ties: found.matches)
  }

  /// Keeps the undecided weights above the threshold, and the first `keptTies` of those equal to
  /// it.
  ///
  /// - Returns: what this adds to the statistics of each chunk.
  private func resolve(
    _ results: [ChunkResult], _ threshold: Threshold<K>, _ keptTies: [Int],
    _ output: MaskOutput<K>
  ) -> [Statistics] {
    Parallel.map(chunks.count, workers: workers) { _, round in
      let result = results[round]
      guard result.inside > 0 else { return Statistics() }
      return lists
        ? resolve(chunks[round], result, threshold, keptTies[round], output)
        : resolve(chunks[round], keptTies[round], K.score(of: threshold.key), output)
    }
  }

  /// How many keys equal to the threshold each chunk keeps: the first ones of all chunks.
  private func keptTies(_ results: [ChunkResult], _ threshold: Threshold<K>) -> [Int] {
    var left = threshold.keptTies
    guard left < threshold.ties else { return results.map(\.inside) }
    return results.map { result in
      let ties =
        lists
        ? result.keys.reduce(0) { $0 + ($1 == threshold.key ? 1 : 0) } : result.inside
      let own = min(left, ties)
      left -= own
      return own
    }
  }

  private func resolve(
    _ chunk: Chunk, _ result: ChunkResult, _ threshold: Threshold<K>, _ keptTies: Int,
    _ output: MaskOutput<K>
  ) -> Statistics {
    var statistics = Statistics()
    var left = keptTies
    var positions: [Int] = []
    positions.reserveCapacity(result.inside)
    for i in 0..<result.inside where result.keys[i] >= threshold.key {
      let key = result.keys[i]
      if key == threshold.key {
        guard left > 0 else { continue }
        left -= 1
      }
      positions.append(chunk.start + Int(result.positions[i]))
      statistics.saliency += Double(K.score(of: key))
    }
    output.keep(positions, of: chunk.tensor, &statistics)
    return statistics
  }

  /// The same for a chunk whose undecided weights all have one score.
  private func resolve(
    _ chunk: Chunk, _ keptTies: Int, _ score: K.Score, _ output: MaskOutput<K>
  ) -> Statistics {
    var statistics = Statistics()
    var left = keptTies
    chunk.forEachBlock { block in
      let found = unsafe K.resolve(output.mask(block), count: block.count, keeping: &left)
      guard found.undecided > 0 else { return }
      statistics.kept += found.kept
      output.commit(block, &statistics)
    }
    statistics.saliency = Double(statistics.kept) * Double(score)
    return statistics
  }
}

/// The smallest kept score as a key, how many keys equal it, and how many of those are kept.
struct Threshold<K: BlockKernels> {
  let key: K.Key
  let keptTies: Int
  let ties: Int
}

/// How many more weights all workers together may list. Whether the capacity is exceeded in the end
/// depends on the weights alone, not on the order in which workers take it.
private final class RemainingCapacity: Sendable {
  private let left: Atomic<Int>

  init(_ capacity: Int) { left = Atomic(capacity) }

  var isExceeded: Bool { left.load(ordering: .relaxed) < 0 }

  /// Takes capacity for `count` weights, and returns whether there was enough.
  func take(_ count: Int) -> Bool {
    left.wrappingSubtract(count, ordering: .relaxed).newValue >= 0
  }
}

/// The buffers of one worker: scratch for a block, and a list of the undecided weights of a chunk.
@safe private final class WorkerBuffers<K: BlockKernels> {
  let scratch = Scratch<K>()
  let keys: UnsafeMutablePointer<K.Key>
  let positions: UnsafeMutablePointer<UInt32>

  /// - Parameter capacity: how many weights of a chunk may be listed.
  init(capacity: Int) {
    unsafe keys = UnsafeMutablePointer.allocate(capacity: capacity)
    unsafe positions = UnsafeMutablePointer.allocate(capacity: capacity)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe positions.deallocate()
  }

  /// The first `count` listed weights.
  func listed(_ count: Int) -> (keys: [K.Key], positions: [UInt32]) {
    unsafe (
      Array(UnsafeBufferPointer(start: keys, count: count)),
      Array(UnsafeBufferPointer(start: positions, count: count))
    )
  }
}
