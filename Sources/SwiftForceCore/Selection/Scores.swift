// The source of scores: tensors and a saliency, or the caller's own scores. Selection asks for the
// keys of one block at a time, so scores are never stored, except as sums over the steps of a
// search that asks for them (AccumulatedScores). This file connects saliency and element types to the
// loops that compute them. What must not live here: which weights are kept.

import CPlatform

/// The scores of a list of tensors.
struct Scores {
  private enum Origin {
    case given([Tensor])
    case saliency(Saliency, weights: [Tensor], gradients: [Tensor]?, seed: UInt64)
  }

  private let origin: Origin
  /// The masks of the step before; nil in the first step.
  private let previous: [Mask]?
  private let competition: Competition
  private let accumulated: AccumulatedScores?
  /// Where each tensor lies among the weights of all ranks; nil: where it lies in the list.
  private var placements: [Placement]?
  /// Whether another rank requires binary64.
  private var computesBinary64 = false
  /// The states of weights while bounds are applied; nil: there are none. Only open weights compete.
  private var states: [Mask]?
  /// What one weight of each tensor costs, by which scores are divided; nil: they are not.
  private var costs: [Int]?

  /// The caller's scores, of either sign; all weights compete.
  init(given scores: [Tensor]) {
    origin = .given(scores)
    previous = nil
    competition = .all
    accumulated = nil
  }

  /// - Parameters:
  ///   - gradients: one tensor per tensor of weights, of the same size; the scores themselves if
  ///     they are given; nil if the saliency reads none.
  ///   - previous: the masks of the step before; nil in the first step, in which all compete.
  ///   - competition: which weights compete.
  ///   - accumulated: scores of the steps before; nil: scores are not accumulated.
  ///   - seed: for the random saliency.
  /// - Throws: `missingGradients`.
  init(
    _ saliency: Saliency, weights: [Tensor], gradients: [Tensor]?, previous: [Mask]?,
    competition: Competition = .all, accumulated: AccumulatedScores? = nil, seed: UInt64 = 0
  ) throws(SFError) {
    if saliency.readsArrays && gradients == nil { throw .missingGradients }
    if saliency == .given, let gradients {
      origin = .given(gradients)
    } else {
      origin = .saliency(
        saliency, weights: weights, gradients: saliency.readsGradients ? gradients : nil,
        seed: seed)
    }
    self.previous = previous
    self.competition = previous == nil ? .all : competition
    self.accumulated = accumulated
  }

  /// These scores as part of those of all ranks.
  ///
  /// - Parameter wide: whether all ranks compute scores in binary64.
  func among(_ ranks: Ranks, wide: Bool) -> Scores {
    var copy = self
    copy.placements = ranks.placements
    copy.computesBinary64 = wide
    return copy
  }

  /// These scores, of which only those of open weights compete; and of any chunks, wherever these
  /// say that they lie.
  ///
  /// - Parameter states: see `BoundedSelection`.
  func open(in states: [Mask]) -> Scores {
    var copy = self
    copy.states = states
    if placements == nil {
      var start = 0
      copy.placements = sizes.map { size in
        defer { start += size }
        return Placement(start: start)
      }
    }
    return copy
  }

  /// These scores, divided by what a weight of each tensor costs.
  func divided(by costs: [Int]) -> Scores {
    var copy = self
    copy.costs = costs
    return copy
  }

  /// Whether they are divided by costs.
  var areDivided: Bool { costs != nil }

  /// Sizes of the tensors.
  var sizes: [Int] {
    switch origin {
    case .given(let tensors), .saliency(_, let tensors, _, _): tensors.map(\.count)
    }
  }

  /// Whether only the weights that a previous mask keeps compete.
  var areNested: Bool { competition == .survivors }

  /// The masks of the weights that compete; nil: all compete.
  private var candidates: [Mask]? { areNested ? previous : nil }

  /// Whether scores may be negative.
  var areSigned: Bool {
    switch origin {
    case .given: true
    case .saliency: false
    }
  }

  /// Bytes of all tensors.
  var bytes: Int {
    switch origin {
    case .given(let tensors): tensors.reduce(0) { $0 + $1.bytes }
    case .saliency(_, let weights, let gradients, _):
      (weights + (gradients ?? [])).reduce(0) { $0 + $1.bytes }
    }
  }

  /// Whether scores are computed in binary64: if any array holds binary64 that the saliency reads.
  /// The types of stored sums have no say: a step with them has the scores of one without.
  var areWide: Bool {
    if computesBinary64 { return true }
    switch origin {
    case .given(let tensors): return tensors.contains { $0.type == .float64 }
    case .saliency(let saliency, let weights, let gradients, _):
      return (saliency.readsWeights && weights.contains { $0.type == .float64 })
        || (gradients?.contains { $0.type == .float64 } ?? false)
    }
  }

  /// Computes the keys of a block.
  ///
  /// - Returns: whether all scores are finite, including those of weights that do not compete.
  ///   `checkFinite` says whether a score that is not finite matters.
  func fill<K: BlockKernels>(_ scratch: Scratch<K>, for block: Block) -> Bool {
    let isFinite = fillPlain(scratch, for: block)
    return compete(scratch, block) && isFinite
  }

  /// Computes the keys of the scores of this step alone, as if all weights competed.
  private func fillPlain<K: BlockKernels>(_ scratch: Scratch<K>, for block: Block) -> Bool {
    let count = block.count
    let keys = unsafe scratch.keys
    unsafe scratch.gradients = nil
    switch origin {
    case .given(let tensors):
      let scores = unsafe tensors[block.tensor].widened(block, scratch.first, K.self)
      return unsafe K.given(scores, count: count, into: keys)
    case .saliency(let saliency, let weights, let gradients, let seed):
      if let gradients {
        let wide = unsafe gradients[block.tensor].widened(block, scratch.second, K.self)
        unsafe scratch.gradients = wide
      }
      return fill(scratch, saliency, weights[block.tensor], seed, block)
    }
  }

  /// Turns keys of the scores of this step into those by which weights compete.
  ///
  /// - Returns: whether all sums are finite.
  private func compete<K: BlockKernels>(_ scratch: Scratch<K>, _ block: Block) -> Bool {
    let isFinite = accumulated?.add(to: scratch, block) ?? true
    if let mask = previous?[block.tensor] {
      switch competition {
      case .all: break
      case .survivors: exclude(mask, block, from: scratch)
      case .discounted(let factor): multiply(mask, block, by: K.Score(factor), in: scratch)
      }
    }
    if let states = states?[block.tensor] { excludeDecided(states, block, from: scratch) }
    if let cost = costs?[block.tensor], cost > 1 {
      unsafe K.divide(scratch.keys, by: K.Score(cost), count: block.count)
    }
    return isFinite
  }

  /// Stores the accumulated scores of this step, once it is certain that it succeeds; 0 for the
  /// weights that do not compete.
  func storeAccumulated<K: BlockKernels>(_: K.Type, chunks: [Chunk], workers: Int) {
    guard let accumulated else { return }
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    Parallel.forEach(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      chunks[round].forEachBlock { block in
        _ = fillPlain(scratch, for: block)
        _ = accumulated.add(to: scratch, block)
        if let mask = candidates?[block.tensor] { exclude(mask, block, from: scratch) }
        accumulated.store(scratch, block)
      }
    }
  }

  /// The sum of this step's own scores over the weights of a block that the previous masks keep.
  ///
  /// - Parameter scratch: has the keys of these scores.
  private func objective<K: BlockKernels>(_ scratch: Scratch<K>, _ block: Block) -> Double {
    guard let mask = previous?[block.tensor] else {
      // Without masks before, all are kept, and the sum of all is known if they are not divided.
      return areDivided ? sum(scratch, block) : 0
    }
    return unsafe K.keptSum(scratch.keys, mask.base + block.start, count: block.count)
  }

  /// The sum of the scores of a block.
  private func sum<K: BlockKernels>(_ scratch: Scratch<K>, _ block: Block) -> Double {
    (0..<block.count).reduce(0) { $0 + Double(K.score(of: unsafe scratch.keys[$1])) }
  }

  /// The sum of this step's own scores over the weights of a chunk that the previous masks keep, and
  /// whether all scores are finite.
  func objective<K: BlockKernels>(
    of chunk: Chunk, _ scratch: Scratch<K>
  ) -> (sum: Double, isFinite: Bool) {
    var (sum, isFinite) = (0.0, true)
    chunk.forEachBlock { block in
      isFinite = fillPlain(scratch, for: block) && isFinite
      sum += objective(scratch, block)
    }
    return (sum, isFinite)
  }

  /// Computes the keys of a block and classifies them; see `Blocks.classify`.
  ///
  /// - Returns: the statistics, and the sum of this step's own scores over the weights that the
  ///   previous masks keep.
  func classify<K: BlockKernels>(
    _ scratch: Scratch<K>, _ block: Block, _ bracket: Bracket<K>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> (found: BlockStatistics, objective: Double) {
    let prefetch = unsafe prefetchAddresses(after: block)
    if case .saliency(.connectionSensitivity, let weights, let gradients?, _) = origin,
      competition == .all, accumulated == nil, states == nil, costs == nil
    {
      // The common case: one loop over the block instead of two.
      let factors = unsafe factors(weights[block.tensor], gradients[block.tensor], scratch, block)
      let statistics = unsafe K.classifyProducts(
        factors.weights, factors.gradients, code: factors.code, count: block.count,
        low: bracket.low, high: bracket.high, prefetch: prefetch, keys: scratch.keys, into: mask)
      return (statistics, objective(scratch, block))
    }
    let isPlainFinite = fillPlain(scratch, for: block)
    let objective = objective(scratch, block)
    let zeros = ownZeros(scratch, block)
    let isFinite = compete(scratch, block) && isPlainFinite
    var statistics = unsafe K.classify(
      scratch.keys, gradients: scratch.gradients, count: block.count, areSigned: areSigned,
      low: bracket.low, high: bracket.high, prefetch: prefetch, into: mask)
    statistics.isFinite = isFinite
    if let zeros { statistics.zeros = zeros }
    return (statistics, objective)
  }

  /// The weights and gradients of a block as `K.classifyProducts` takes them: in place if both have
  /// the type of scores, or one type of 16 bits, else widened.
  private func factors<K: BlockKernels>(
    _ weights: Tensor, _ gradients: Tensor, _ scratch: Scratch<K>, _ block: Block
  ) -> (weights: UnsafeRawPointer, gradients: UnsafeRawPointer, code: Int) {
    let type = weights.type
    if type == gradients.type, type.size == 2, K.Score.self == Float.self {
      let offset = block.start * type.size
      return unsafe (weights.base + offset, gradients.base + offset, type.code)
    }
    let scores: ElementType = K.Score.self == Double.self ? .float64 : .float32
    return unsafe (
      UnsafeRawPointer(weights.widened(block, scratch.first, K.self)),
      UnsafeRawPointer(gradients.widened(block, scratch.second, K.self)), scores.code
    )
  }

  /// How many weights of a block compete that have a score of zero in this step, before momentum,
  /// factor and cost; nil if there is none of these, so that `classify` counts them.
  ///
  /// - Parameter scratch: has the keys of the scores of this step alone.
  private func ownZeros<K: BlockKernels>(_ scratch: Scratch<K>, _ block: Block) -> Int? {
    if case .discounted = competition {} else if accumulated == nil && costs == nil { return nil }
    guard let mask = candidates?[block.tensor] else {
      return unsafe K.zeros(scratch.keys, count: block.count)
    }
    return unsafe K.zeros(scratch.keys, keptBy: mask.base + block.start, count: block.count)
  }

  /// Where the data of the next block lies.
  @inline(__always)
  private func prefetchAddresses(after block: Block) -> PrefetchAddresses {
    switch origin {
    case .given(let tensors):
      let scores = tensors[block.tensor]
      return unsafe scores.prefetchAddresses(after: block, and: scores)
    case .saliency(let saliency, let weights, let gradients, _):
      let weights = weights[block.tensor]
      let gradients = gradients?[block.tensor] ?? weights
      return unsafe (saliency.readsWeights ? weights : gradients).prefetchAddresses(
        after: block, and: gradients)
    }
  }

  /// Appends the keys of some elements of a chunk.
  ///
  /// - Parameter indices: relative to the start of the chunk; at most `Block.largestCount`.
  func append<K: BlockKernels>(
    _ indices: [Int], of chunk: Chunk, to keys: inout [K.Key], _ scratch: Scratch<K>
  ) {
    unsafe indices.withUnsafeBufferPointer { buffer in
      guard let first = buffer.baseAddress else { return }
      let block = unsafe Block(
        tensor: chunk.tensor, start: chunk.start, count: indices.count, offset: chunk.offset,
        indices: first)
      for index in indices { prefetch(chunk.tensor, chunk.start + index) }
      _ = fill(scratch, for: block)
      unsafe keys.append(contentsOf: UnsafeBufferPointer(start: scratch.keys, count: indices.count))
    }
  }

  /// Prefetches the data of one score, so that the loads of several scores overlap.
  private func prefetch(_ tensor: Int, _ position: Int) {
    switch origin {
    case .given(let tensors): tensors[tensor].prefetch(position)
    case .saliency(let saliency, let weights, let gradients, _):
      if saliency.readsWeights { weights[tensor].prefetch(position) }
      gradients?[tensor].prefetch(position)
      accumulated?.view(tensor).prefetch(position)
    }
  }

  private func multiply<K: BlockKernels>(
    _ mask: Mask, _ block: Block, by factor: K.Score, in scratch: Scratch<K>
  ) {
    let mask = unsafe mask.base + block.start
    guard let indices = unsafe block.indices else {
      unsafe K.multiplyRemoved(mask, by: factor, count: block.count, in: scratch.keys)
      return
    }
    for i in 0..<block.count {
      unsafe K.multiplyRemoved(mask + indices[i], by: factor, count: 1, in: scratch.keys + i)
    }
  }

  private func exclude<K: BlockKernels>(_ mask: Mask, _ block: Block, from scratch: Scratch<K>) {
    let mask = unsafe mask.base + block.start
    guard let indices = unsafe block.indices else {
      unsafe K.excludeRemoved(mask, count: block.count, from: scratch.keys)
      return
    }
    for i in 0..<block.count where unsafe mask[indices[i]] == 0 {
      unsafe scratch.keys[i] = K.excluded
    }
  }

  private func excludeDecided<K: BlockKernels>(
    _ states: Mask, _ block: Block, from scratch: Scratch<K>
  ) {
    let states = unsafe states.base + block.start
    guard let indices = unsafe block.indices else {
      unsafe K.excludeDecided(states, count: block.count, from: scratch.keys)
      return
    }
    for i in 0..<block.count {
      unsafe K.excludeDecided(states + indices[i], count: 1, from: scratch.keys + i)
    }
  }

  private func fill<K: BlockKernels>(
    _ scratch: Scratch<K>, _ saliency: Saliency, _ weights: Tensor, _ seed: UInt64, _ block: Block
  ) -> Bool {
    let keys = unsafe scratch.keys
    let count = block.count
    switch (saliency, unsafe scratch.gradients) {
    case (.connectionSensitivity, let gradients?):
      let wide = unsafe weights.widened(block, scratch.first, K.self)
      return unsafe K.connectionSensitivity(wide, gradients, count: count, into: keys)
    case (.squaredGradient, let gradients?):
      return unsafe K.squaredGradient(gradients, count: count, into: keys)
    case (.magnitude, _):
      let wide = unsafe weights.widened(block, scratch.first, K.self)
      return unsafe K.magnitude(wide, count: count, into: keys)
    case (.random, _):
      let placement = placements?[block.tensor]
      for i in 0..<count {
        let index = unsafe block.indices?[i] ?? i
        let position = placement?.position(of: block.start + index) ?? block.offset + index
        let bits = Generator.number(at: position, seed: seed)
        unsafe scratch.first[i] = K.Score(bits >> 40) * 0x1p-24
      }
      return unsafe K.magnitude(scratch.first, count: count, into: keys)
    case (.connectionSensitivity, nil), (.squaredGradient, nil), (.given, _):
      return false  // The initializer rejects this.
    }
  }

  /// Finds the first tensor with a value that is not finite: a weight, a gradient, a sum of scores, or
  /// the score of a weight that competes. Called after `fill` returned false.
  ///
  /// - Throws: `nonFinite`, unless the value was the product of a weight that does not compete.
  func checkFinite() throws(SFError) {
    if let nonFiniteError { throw nonFiniteError }
  }

  /// The error that `checkFinite` throws.
  var nonFiniteError: SFError? { nonFinite().map { .nonFinite($0) } }

  private func nonFinite() -> NonFinite? {
    switch origin {
    case .given(let tensors): return FiniteCheck.first(in: tensors, as: .scores)
    case .saliency(let saliency, let weights, let gradients, _):
      if let found = FiniteCheck.first(in: weights, as: .weights) { return found }
      guard let gradients else { return nil }
      if let found = FiniteCheck.first(in: gradients, as: .gradients) { return found }
      if let accumulated, let found = FiniteCheck.first(in: accumulated.views, as: .accumulated) {
        return found
      }
      return FiniteCheck.first(
        inProductsOf: saliency.readsWeights ? weights : gradients, gradients, plus: accumulated,
        of: candidates, wide: areWide)
    }
  }
}

/// Scores accumulated over the steps of a search, in arrays of the caller.
struct AccumulatedScores {
  let tensors: [MutableTensor]
  let momentum: Double

  /// The element type of the accumulated scores of a tensor of weights.
  static func type(for weights: ElementType) -> ElementType {
    weights == .float64 ? .float64 : .float32
  }

  func view(_ tensor: Int) -> Tensor { tensors[tensor].view }

  var views: [Tensor] { tensors.map(\.view) }

  /// Replaces the keys of the scores of this step by those of the new sums.
  ///
  /// - Returns: whether all new sums are finite, also where they are stored.
  fileprivate func add<K: BlockKernels>(to scratch: Scratch<K>, _ block: Block) -> Bool {
    let accumulated = unsafe view(block.tensor).widened(block, scratch.third, K.self)
    let isNarrow = K.Score.self == Double.self && tensors[block.tensor].type == .float32
    // From half a unit in the last place above the largest binary32 on, numbers round to infinity.
    let limit = isNarrow ? K.key(of: K.Score(0x1.ffffffp127)) : K.key(of: .infinity)
    return unsafe K.accumulate(
      accumulated, momentum: K.Score(momentum), count: block.count, below: limit, into: scratch.keys
    )
  }

  fileprivate func store<K: BlockKernels>(_ scratch: Scratch<K>, _ block: Block) {
    let target = tensors[block.tensor]
    unsafe K.store(
      scratch.keys, count: block.count, into: target.base, code: target.type.code,
      start: block.start)
  }
}

extension Tensor {
  @inline(__always)
  fileprivate func prefetch(_ position: Int) {
    unsafe platform_prefetch(base + position * type.size)
  }

  @inline(__always)
  fileprivate func prefetchAddresses(after block: Block, and second: Tensor) -> PrefetchAddresses {
    let next = block.start + block.count
    return unsafe (
      first: base + next * type.size, firstSize: type.size,
      second: second.base + next * second.type.size, secondSize: second.type.size
    )
  }

  /// The elements of a block in the type of scores: in place if the tensor has that type, else
  /// converted into `scratch`.
  func widened<K: BlockKernels>(
    _ block: Block, _ scratch: UnsafeMutablePointer<K.Score>, _: K.Type
  ) -> UnsafePointer<K.Score> {
    if let indices = unsafe block.indices {
      let first = unsafe base + block.start * type.size
      unsafe K.gather(
        first, code: type.code, positions: indices, count: block.count, scratch: scratch)
      return unsafe UnsafePointer(scratch)
    }
    return unsafe K.widen(
      base, code: type.code, start: block.start, count: block.count, scratch: scratch)
  }
}
