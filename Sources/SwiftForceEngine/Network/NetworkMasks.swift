// What masks change in a network: which layers compute over kept weights, and where momentum is
// kept. What must not live here: the computations.

import SwiftForceCore

extension Network {
  /// The kept weights of the layers that are faster with them alone.
  ///
  /// - Parameter masks: one per prunable weight.
  /// - Throws: `.noMemory`; `.badEnvironment` if the variable for the CPU level is invalid.
  func sparseLayers(_ masks: [Vector<UInt8>]) throws(SFError) -> [SparseLayer<Element>?] {
    let level = try CPULevel.current()
    let loops = Element.sparseLoops(at: level)
    var weights = [SparseWeights?](repeating: nil, count: architecture.layers.count)
    for (entry, mask) in zip(layout.entries.filter(\.isWeight), masks) {
      guard let sizes = architecture.layers[entry.layer].sparseSizes else { continue }
      let limit = sizes.densityLimit(level)
      guard Double(mask.countOnes) <= limit * Double(mask.count) else { continue }
      weights[entry.layer] = try SparseWeights(mask: mask, sizes, loops.region)
    }
    let scratch = try Arena<Element>(count: weights.reduce(0) { max($0, $1?.orderedCount ?? 0) })
    return try weights.map { (weights) throws(SFError) in
      guard let weights else { return nil }
      return try SparseLayer(weights, loops, scratch: scratch)
    }
  }

  /// The kept weights of the layers that are faster without their zeros.
  ///
  /// - Parameter weights: one per prunable weight.
  /// - Throws: `.noMemory`.
  func sparseLayers(
    ofNonzero weights: [Vector<Element>]
  ) throws(SFError) -> [SparseLayer<Element>?] {
    let masks = try WeightMasks(nonzero: weights)
    return try withExtendedLifetime(masks) { () throws(SFError) in try sparseLayers(masks.views) }
  }

  /// How a prunable tensor is used.
  public struct WeightPlan: Sendable, Equatable {
    /// The weights that its mask keeps, or all.
    public let kept: Int
    /// Whether its layer computes over them alone.
    public let isSparse: Bool
    /// The largest density at which it may.
    public let limit: Double
    /// How many products with each of its elements one sample needs: one for each position of an
    /// image that the layer writes.
    public let multiplyAdds: Int
  }

  public var plan: [WeightPlan] {
    let level = (try? CPULevel.current()) ?? .supported
    return layout.entries.enumerated().filter(\.element.isWeight).map { i, entry in
      let mask = mask.flatMap { trainedLayout.view(of: $0, i) }
      let layer = sparse[entry.layer]
      return WeightPlan(
        kept: layer?.weights.count ?? mask?.countOnes ?? entry.count, isSparse: layer != nil,
        limit: architecture.layers[entry.layer].sparseSizes?.densityLimit(level) ?? 0,
        multiplyAdds: architecture.layers[entry.layer].outputShape.image
          .map { $0.height * $0.width } ?? 1)
    }
  }

  /// Writes the masks that are applied.
  ///
  /// - Parameter targets: one per prunable weight, of its size; set to 1 where it is kept, else 0.
  /// - Returns: false if there are no masks, and then nothing is written.
  /// - Throws: `.sizeMismatch`.
  public func writeMasks(to targets: [Vector<UInt8>]) throws(SFError) -> Bool {
    try layout.check(sizes: targets.map(\.count), of: .masks)
    guard let mask else { return false }
    var remaining = targets[...]
    for (i, entry) in layout.entries.enumerated() where entry.isWeight {
      guard let target = remaining.popFirst() else { continue }
      if let layer = sparse[entry.layer] {
        target.fill(with: 0)
        let positions = layer.weights.positions
        for k in 0..<positions.count { target[Int(positions[k])] = 1 }
      } else if let source = trainedLayout.view(of: mask, i) {
        target.assign(source)
      }
    }
    return true
  }

  /// What lists of kept weights allocate at most besides arenas, in bytes.
  public var listsBound: Int {
    architecture.layers.reduce(NetworkMemory.creation(layers: architecture.layers.count)) {
      $0 + ($1.sparseSizes?.tables ?? 0)
    }
  }

  /// The tensors, by their index in the layout, of which only kept weights are trained.
  func compactTensors(_ sparse: [SparseLayer<Element>?]) -> Set<Int> {
    Set(
      layout.entries.indices.filter {
        layout.entries[$0].isWeight && sparse[layout.entries[$0].layer] != nil
      })
  }

  /// Replaces masks and kept weights. The momentum of what is kept stays.
  ///
  /// - Parameter trained: the parameters that are trained as a whole.
  /// - Throws: `.noMemory`; nothing has changed then.
  func change(
    mask: Arena<UInt8>?, sparse: [SparseLayer<Element>?], _ trained: TrainedLayout
  ) throws(SFError) {
    if let old = optimizer {
      let new = try Optimizer<Element>(trained)
      for case let layer? in sparse { try layer.prepareTraining() }
      let (before, after) = (old.momentumViews, new.momentumViews)
      for (i, entry) in layout.entries.enumerated() {
        let (from, to) = (self.sparse[entry.layer], sparse[entry.layer])
        if let source = before[i] {
          if let target = after[i] {
            target.assign(source)
          } else if let to, let momentum = to.momentum {
            to.gather(source, into: momentum)
          }
        } else if entry.isWeight, let from, let momentum = from.momentum {
          let temporary = try Arena<Element>(count: after[i] == nil ? entry.count : 0)
          let dense = after[i] ?? temporary.all
          from.scatter(momentum, into: dense)
          if after[i] == nil, let to, let target = to.momentum { to.gather(dense, into: target) }
        }
      }
      optimizer = new
    }
    writeDense()
    self.mask = mask
    self.sparse = sparse
    trainedLayout = trained
  }
}

/// Copies of masks, which no other thread changes: one per prunable weight.
final class WeightMasks {
  private let arena: Arena<UInt8>
  /// They must not be used after this object is gone.
  let views: [Vector<UInt8>]

  private init(counts: [Int]) throws(SFError) {
    arena = try Arena(count: counts.reduce(0, +))
    var (views, end): ([Vector<UInt8>], Int) = ([], 0)
    for count in counts {
      views.append(arena.vector(at: end, count: count))
      end += count
    }
    self.views = views
  }

  /// - Throws: `.noMemory`.
  convenience init(_ masks: [Mask]) throws(SFError) {
    try self.init(counts: masks.map(\.count))
    for (view, mask) in zip(views, masks) {
      view.assign(unsafe Vector(mask.address, count: mask.count))
    }
  }

  /// The masks that remove the zeros of weights.
  ///
  /// - Throws: `.noMemory`.
  convenience init<Element: BLASScalar>(nonzero weights: [Vector<Element>]) throws(SFError) {
    try self.init(counts: weights.map(\.count))
    for (view, weight) in zip(views, weights) {
      unsafe Element.markNonzero(weight.base, count: weight.count, in: view.base)
    }
  }
}

extension Vector<UInt8> {
  /// How many elements are not zero.
  fileprivate var countOnes: Int {
    var count = 0
    for i in 0..<self.count where self[i] != 0 { count += 1 }
    return count
  }
}
