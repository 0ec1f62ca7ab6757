// The bounds of output units and of groups in them, in one pass over the tensors: which weights a
// floor keeps, and which a cap removes. What must not live here: the bounds of tensors and the
// choice among all weights (BoundedSelection).

/// Applies the bounds below the level of tensors, and writes the state of every weight.
struct UnitPass<K: BlockKernels> {
  let scores: Scores
  let bounds: [Bounds]
  let states: [Mask]
  let threads: Int

  /// What the pass has decided in one tensor, or in a part of it.
  struct Outcome {
    var forced = 0
    var open = 0
    /// The smallest key that a floor keeps.
    var smallest = K.Key.max
    /// The output unit with fewer weights that compete than its floor demands.
    var short: (output: Int, open: Int)?
    var isFinite = true

    static func += (total: inout Outcome, part: Outcome) {
      total.forced += part.forced
      total.open += part.open
      total.smallest = min(total.smallest, part.smallest)
      total.short = total.short ?? part.short
      total.isFinite = total.isFinite && part.isFinite
    }
  }

  /// Some neighbouring output units of a tensor.
  private struct Tile {
    let tensor: Int
    let first: Int
    let count: Int
    /// Weights of one output unit.
    let length: Int
  }

  /// - Returns: for each tensor with units that are bounded, what was decided; nil for the others.
  /// - Throws: `nonFinite`, `badBounds`.
  func run() throws(SFError) -> [Outcome?] {
    let tiles = tiles
    let largest = tiles.reduce(0) { max($0, $1.count * $1.length) }
    let work = tiles.reduce(0) { $0 + $1.count * $1.length }
    let workers = max(1, min(threads, tiles.count, work / Chunk.largestCount))
    let buffers = (0..<workers).map { _ in TileBuffers<K>(capacity: largest) }
    let parts = Parallel.map(tiles.count, workers: workers) { worker, round in
      decide(tiles[round], buffers[worker])
    }
    var outcomes = [Outcome?](repeating: nil, count: bounds.count)
    for (tile, part) in zip(tiles, parts) {
      var outcome = outcomes[tile.tensor] ?? Outcome()
      outcome += part
      outcomes[tile.tensor] = outcome
    }
    if !outcomes.allSatisfy({ $0?.isFinite ?? true }) { try scores.checkFinite() }
    for (tensor, outcome) in outcomes.enumerated() {
      guard let short = outcome?.short else { continue }
      throw .badBounds(
        tensor: tensor,
        reason: "at least \(bounds[tensor].leastPerOutput) weights of output unit \(short.output)"
          + " must be kept, and \(short.open) compete")
    }
    return outcomes
  }

  /// Output units are taken together as long as they are short, and where they lie between each
  /// other, as many as fill a line of the cache.
  private var tiles: [Tile] {
    var tiles: [Tile] = []
    for (tensor, bound) in bounds.enumerated() where bound.concernsUnits && states[tensor].count > 0
    {
      let outputs = max(1, bound.outputs)
      let length = states[tensor].count / outputs
      let together = UnitPass.together(bound, length)
      for first in stride(from: 0, to: outputs, by: together) {
        let count = min(together, outputs - first)
        tiles.append(Tile(tensor: tensor, first: first, count: count, length: length))
      }
    }
    return tiles
  }

  private static var leastOfTile: Int { 4 * Block.largestCount }

  /// How many output units of a tensor, each of `length` weights, make a tile.
  private static func together(_ bound: Bounds, _ length: Int) -> Int {
    max(leastOfTile / length, 16 / min(16, max(1, bound.inner)))
  }

  /// How many tiles there are, and the weights of the largest one; or more.
  ///
  /// - Parameter sizes: elements of each tensor.
  static func tiles(_ bounds: [Bounds], sizes: [Int]) -> (count: Int, largest: Int) {
    var (count, largest) = (0, 0)
    for (bound, size) in zip(bounds, sizes) where bound.concernsUnits && size > 0 {
      let outputs = max(1, bound.outputs)
      let length = max(1, size / outputs)
      let together = min(outputs, together(bound, length))
      count += outputs / together + 1
      largest = max(largest, together * length)
    }
    return (count, largest)
  }

  private func decide(_ tile: Tile, _ buffers: TileBuffers<K>) -> Outcome {
    var outcome = Outcome()
    let bound = bounds[tile.tensor]
    let inner = bound.outputs > 1 ? min(bound.inner, tile.length) : tile.length
    let runs = tile.length / inner
    let stride = max(1, bound.outputs) * inner
    for run in 0..<runs {
      let start = run * stride + tile.first * inner
      outcome.isFinite =
        fill(tile, run * inner, start, inner, buffers) && outcome.isFinite
    }
    for unit in 0..<tile.count {
      decide(bound, tile, unit, buffers, &outcome)
    }
    let target = unsafe states[tile.tensor].base
    for run in 0..<runs {
      for unit in 0..<tile.count {
        let start = run * stride + (tile.first + unit) * inner
        unsafe (target + start).update(
          from: buffers.states + unit * tile.length + run * inner, count: inner)
      }
    }
    return outcome
  }

  /// Computes the keys of one run of each output unit of a tile, which lie next to each other.
  ///
  /// - Parameters:
  ///   - place: where the run begins in an output unit.
  ///   - start: where the first run begins in the tensor.
  private func fill(
    _ tile: Tile, _ place: Int, _ start: Int, _ inner: Int, _ buffers: TileBuffers<K>
  ) -> Bool {
    let scratch = buffers.scratch
    var isFinite = true
    var done = 0
    let count = tile.count * inner
    while done < count {
      let length = min(Block.largestCount, count - done)
      let block = unsafe Block(
        tensor: tile.tensor, start: start + done, count: length, offset: 0, indices: nil)
      isFinite = scores.fill(scratch, for: block) && isFinite
      var copied = 0
      while copied < length {
        let (unit, at) = (done + copied).quotientAndRemainder(dividingBy: inner)
        let part = min(inner - at, length - copied)
        unsafe (buffers.keys + unit * tile.length + place + at).update(
          from: scratch.keys + copied, count: part)
        copied += part
      }
      done += length
    }
    return isFinite
  }

  /// Decides the weights of one output unit.
  private func decide(
    _ bound: Bounds, _ tile: Tile, _ unit: Int, _ buffers: TileBuffers<K>,
    _ outcome: inout Outcome
  ) {
    let keys = unsafe buffers.keys + unit * tile.length
    let states = unsafe buffers.states + unit * tile.length
    let length = tile.length
    var open = unsafe K.open(keys, count: length, into: states)
    if bound.group > 0, bound.mostPerGroup < bound.group {
      open =
        bound.group <= UnitPass.largestRanked
        ? unsafe K.capGroups(
          keys, count: length, group: bound.group, most: bound.mostPerGroup, in: states)
        : unsafe capLargeGroups(bound, keys, length, states)
    }
    let least = bound.leastPerOutput
    guard open >= least else {
      outcome.short = outcome.short ?? (tile.first + unit, open)
      return
    }
    if least == 1 {
      let best = unsafe K.largest(keys, count: length)
      unsafe states[best] = 1
      outcome.smallest = unsafe min(outcome.smallest, keys[best])
    } else if least > 0 {
      let threshold = unsafe threshold(least, keys, length)
      unsafe K.decide(
        keys, count: length, threshold: threshold.key, ties: threshold.keptTies, top: 1, rest: 2,
        in: states)
      outcome.smallest = min(outcome.smallest, threshold.key)
    }
    let left = bound.mostPerOutput - least
    if left < open - least {
      // The weights that the floor keeps are the best, so the best of all make up both.
      let threshold = unsafe threshold(bound.mostPerOutput, keys, length)
      let ties = unsafe tiesLeft(threshold, keys, states, length)
      unsafe K.decide(
        keys, count: length, threshold: threshold.key, ties: ties, top: 2, rest: 0, in: states)
      open = left + least
    }
    outcome.forced += least
    outcome.open += open - least
  }

  /// The largest groups whose weights are compared with each other; it takes the square of the time.
  private static var largestRanked: Int { 16 }

  /// As `Blocks.capGroups`, by the threshold of each group.
  private func capLargeGroups(
    _ bound: Bounds, _ keys: UnsafeMutablePointer<K.Key>, _ length: Int,
    _ states: UnsafeMutablePointer<UInt8>
  ) -> Int {
    for start in stride(from: 0, to: length, by: bound.group) {
      let count = min(bound.group, length - start)
      guard bound.mostPerGroup < count else { continue }
      let threshold = unsafe threshold(bound.mostPerGroup, keys + start, count)
      unsafe K.decide(
        keys + start, count: count, threshold: threshold.key, ties: threshold.keptTies, top: 2,
        rest: 0, in: states + start)
    }
    unsafe K.excludeDecided(states, count: length, from: keys)
    return unsafe K.open(keys, count: length, into: states)
  }

  /// How many of the weights at a threshold are kept that no floor keeps already.
  private func tiesLeft(
    _ threshold: Threshold<K>, _ keys: UnsafePointer<K.Key>, _ states: UnsafePointer<UInt8>,
    _ length: Int
  ) -> Int {
    var taken = 0
    for i in 0..<length where unsafe keys[i] == threshold.key && states[i] == 1 { taken += 1 }
    return threshold.keptTies - taken
  }

  /// The key of a rank among those of an output unit.
  private func threshold(
    _ rank: Int, _ keys: UnsafePointer<K.Key>, _ length: Int
  ) -> Threshold<K> {
    guard rank > 0 else { return Threshold(key: .max, keptTies: 0, ties: 0) }
    let list = unsafe Array(UnsafeBufferPointer(start: keys, count: length))
    let found = RadixSelect<K>.find(rank, in: [list])
    return Threshold(key: found.key, keptTies: found.rank, ties: found.matches)
  }
}

/// The keys and states of one tile, and scratch for a block.
@safe private final class TileBuffers<K: BlockKernels> {
  let scratch = Scratch<K>()
  let keys: UnsafeMutablePointer<K.Key>
  let states: UnsafeMutablePointer<UInt8>

  init(capacity: Int) {
    unsafe keys = UnsafeMutablePointer.allocate(capacity: capacity)
    unsafe states = UnsafeMutablePointer.allocate(capacity: capacity)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe states.deallocate()
  }
}
