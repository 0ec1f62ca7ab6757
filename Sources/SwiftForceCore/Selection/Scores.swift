// Where scores come from: tensors and a saliency, or the caller's own scores. Selection asks for one
// block of keys after another, so scores are never stored. This file joins saliency and element
// types to the loops that compute them; it decides nothing.

import CPlatform

/// The scores of a list of tensors.
struct Scores {
  private enum Origin {
    case given([Tensor])
    case saliency(Saliency, weights: [Tensor], gradients: [Tensor]?, seed: UInt64)
  }

  private let origin: Origin
  private let candidates: [Mask]?
  /// Where each tensor begins among the weights of all ranks; nil: where it begins in the list.
  private var starts: [Int]?
  private var isWidened = false

  /// The caller's scores, of either sign; all compete.
  init(given scores: [Tensor]) {
    origin = .given(scores)
    candidates = nil
  }

  /// - Parameters:
  ///   - gradients: one per tensor of weights and of its size, where the saliency reads them.
  ///   - candidates: the weights that compete; nil: all.
  init(
    _ saliency: Saliency, weights: [Tensor], gradients: [Tensor]?, candidates: [Mask]?,
    seed: UInt64
  ) throws(SFError) {
    if saliency.readsGradients && gradients == nil { throw .missingGradients }
    origin = .saliency(
      saliency, weights: weights, gradients: saliency.readsGradients ? gradients : nil, seed: seed)
    self.candidates = candidates
  }

  /// These scores among those of other ranks, which must be computed in the same type.
  func among(_ ranks: Ranks, wide: Bool) -> Scores {
    var copy = self
    copy.starts = ranks.starts
    copy.isWidened = wide
    return copy
  }

  /// Sizes of the tensors.
  var sizes: [Int] {
    switch origin {
    case .given(let tensors), .saliency(_, let tensors, _, _): tensors.map(\.count)
    }
  }

  /// Whether only the weights of a previous mask compete.
  var areNested: Bool { candidates != nil }

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

  /// Whether scores are computed in binary64: where any array that is read holds it.
  var areWide: Bool {
    if isWidened { return true }
    switch origin {
    case .given(let tensors): return tensors.contains { $0.type == .float64 }
    case .saliency(let saliency, let weights, let gradients, _):
      return (saliency.readsWeights && weights.contains { $0.type == .float64 })
        || (gradients?.contains { $0.type == .float64 } ?? false)
    }
  }

  /// Fills the keys of a block.
  ///
  /// - Returns: whether all products are finite, those of weights that do not compete included;
  ///   `checkFinite` tells whether one that is not matters.
  func fill<K: BlockKernels>(_ scratch: Scratch<K>, for block: Block) -> Bool {
    let count = block.count
    let keys = unsafe scratch.keys
    unsafe scratch.gradients = nil
    let isFinite: Bool
    switch origin {
    case .given(let tensors):
      let scores = unsafe tensors[block.tensor].wide(block, scratch.first, K.self)
      isFinite = unsafe K.given(scores, count: count, into: keys)
    case .saliency(let saliency, let weights, let gradients, let seed):
      if let gradients {
        let wide = unsafe gradients[block.tensor].wide(block, scratch.second, K.self)
        unsafe scratch.gradients = wide
      }
      isFinite = fill(scratch, saliency, weights[block.tensor], seed, block)
    }
    if let mask = candidates?[block.tensor] { exclude(mask, block, from: scratch) }
    return isFinite
  }

  /// Fills the keys of a block and surveys it; see `Blocks.survey`.
  func survey<K: BlockKernels>(
    _ scratch: Scratch<K>, _ block: Block, _ bracket: Bracket<K>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockSurvey {
    let ahead = unsafe ahead(of: block)
    if case .saliency(.connectionSensitivity, let weights, let gradients?, _) = origin,
      candidates == nil
    {
      // The common case goes over the block once instead of twice.
      return unsafe K.surveyProducts(
        weights[block.tensor].wide(block, scratch.first, K.self),
        gradients[block.tensor].wide(block, scratch.second, K.self), count: block.count,
        low: bracket.low, high: bracket.high, ahead: ahead, keys: scratch.keys, into: mask)
    }
    let isFinite = fill(scratch, for: block)
    var survey = unsafe K.survey(
      scratch.keys, gradients: scratch.gradients, count: block.count, areSigned: areSigned,
      low: bracket.low, high: bracket.high, ahead: ahead, into: mask)
    survey.isFinite = isFinite
    return survey
  }

  /// Where the arrays go on after a block.
  @inline(__always)
  private func ahead(of block: Block) -> Ahead {
    switch origin {
    case .given(let tensors):
      let scores = tensors[block.tensor]
      return unsafe scores.ahead(of: block, and: scores)
    case .saliency(let saliency, let weights, let gradients, _):
      let weights = weights[block.tensor]
      let gradients = gradients?[block.tensor] ?? weights
      return unsafe (saliency.readsWeights ? weights : gradients).ahead(of: block, and: gradients)
    }
  }

  /// Appends the keys of the elements at these positions of a chunk, a block's length at most.
  func append<K: BlockKernels>(
    _ picks: [Int], of chunk: Chunk, to keys: inout [K.Key], _ scratch: Scratch<K>
  ) {
    unsafe picks.withUnsafeBufferPointer { buffer in
      guard let first = buffer.baseAddress else { return }
      let block = unsafe Block(
        tensor: chunk.tensor, start: chunk.start, count: picks.count, offset: chunk.offset,
        picks: first)
      for pick in picks { request(chunk.tensor, chunk.start + pick) }
      _ = fill(scratch, for: block)
      unsafe keys.append(contentsOf: UnsafeBufferPointer(start: scratch.keys, count: picks.count))
    }
  }

  /// Asks for the memory of one score, so that it is under way with that of others.
  private func request(_ tensor: Int, _ position: Int) {
    switch origin {
    case .given(let tensors): tensors[tensor].request(position)
    case .saliency(let saliency, let weights, let gradients, _):
      if saliency.readsWeights { weights[tensor].request(position) }
      gradients?[tensor].request(position)
    }
  }

  private func exclude<K: BlockKernels>(_ mask: Mask, _ block: Block, from scratch: Scratch<K>) {
    let mask = unsafe mask.base + block.start
    guard let picks = unsafe block.picks else {
      unsafe K.excludeRemoved(mask, count: block.count, from: scratch.keys)
      return
    }
    for i in 0..<block.count where unsafe mask[picks[i]] == 0 {
      unsafe scratch.keys[i] = K.excluded
    }
  }

  private func fill<K: BlockKernels>(
    _ scratch: Scratch<K>, _ saliency: Saliency, _ weights: Tensor, _ seed: UInt64, _ block: Block
  ) -> Bool {
    let keys = unsafe scratch.keys
    let count = block.count
    switch (saliency, unsafe scratch.gradients) {
    case (.connectionSensitivity, let gradients?):
      let wide = unsafe weights.wide(block, scratch.first, K.self)
      return unsafe K.connectionSensitivity(wide, gradients, count: count, into: keys)
    case (.squaredGradient, let gradients?):
      return unsafe K.squaredGradient(gradients, count: count, into: keys)
    case (.magnitude, _):
      let wide = unsafe weights.wide(block, scratch.first, K.self)
      return unsafe K.magnitude(wide, count: count, into: keys)
    case (.random, _):
      let first = starts.map { $0[block.tensor] + block.start } ?? block.offset
      for i in 0..<count {
        let position = first + (unsafe block.picks?[i] ?? i)
        let bits = Generator.number(at: position, seed: seed)
        unsafe scratch.first[i] = K.Score(bits >> 40) * 0x1p-24
      }
      return unsafe K.magnitude(scratch.first, count: count, into: keys)
    case (.connectionSensitivity, nil), (.squaredGradient, nil):
      return false  // Refused when the scores were made.
    }
  }

  /// Names the first tensor with a weight, a gradient or the score of a competing weight that is
  /// not finite. Asked when `fill` said that something is not.
  ///
  /// - Throws: `nonFinite`; nothing where it was the product of a weight that does not compete.
  func checkFinite() throws(SFError) {
    if let trouble { throw trouble }
  }

  /// What `checkFinite` throws.
  var trouble: SFError? { nonFinite().map { .nonFinite($0) } }

  private func nonFinite() -> NonFinite? {
    switch origin {
    case .given(let tensors): return FiniteCheck.first(in: tensors, as: .scores)
    case .saliency(let saliency, let weights, let gradients, _):
      if let found = FiniteCheck.first(in: weights, as: .weights) { return found }
      guard let gradients else { return nil }
      return FiniteCheck.first(in: gradients, as: .gradients)
        ?? FiniteCheck.first(
          inProductsOf: saliency.readsWeights ? weights : gradients, gradients, of: candidates,
          wide: areWide)
    }
  }
}

/// Room for what is computed of one block by one worker.
@safe final class Scratch<K: BlockKernels> {
  /// Keys of the block.
  let keys: UnsafeMutablePointer<K.Key>
  /// Weights or scores, and gradients, in the type of scores where the arrays have another.
  let first: UnsafeMutablePointer<K.Score>
  let second: UnsafeMutablePointer<K.Score>
  /// The gradients of the block that was filled last; nil where none are read.
  var gradients: UnsafePointer<K.Score>?

  init() {
    unsafe keys = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
    unsafe first = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
    unsafe second = UnsafeMutablePointer.allocate(capacity: Block.largestCount)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe first.deallocate()
    unsafe second.deallocate()
  }
}

extension Tensor {
  @inline(__always)
  fileprivate func request(_ position: Int) { unsafe platform_request(base + position * type.size) }

  @inline(__always)
  fileprivate func ahead(of block: Block, and second: Tensor) -> Ahead {
    let next = block.start + block.count
    return unsafe (
      first: base + next * type.size, firstSize: type.size,
      second: second.base + next * second.type.size, secondSize: second.type.size
    )
  }

  /// The elements of a block in the type of scores; in `scratch` where the tensor has another.
  func wide<K: BlockKernels>(
    _ block: Block, _ scratch: UnsafeMutablePointer<K.Score>, _: K.Type
  ) -> UnsafePointer<K.Score> {
    if let picks = unsafe block.picks {
      let first = unsafe base + block.start * type.size
      unsafe K.gather(
        first, code: type.code, positions: picks, count: block.count, scratch: scratch)
      return unsafe UnsafePointer(scratch)
    }
    return unsafe K.widen(
      base, code: type.code, start: block.start, count: block.count, scratch: scratch)
  }
}
