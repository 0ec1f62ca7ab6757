// What masks change in a network: which layers compute over kept weights, and where momentum is
// kept. What must not live here: the computations.

import SwiftForceCore

extension Network {
  /// The kept weights of the layers that are faster with them alone.
  ///
  /// - Parameter masks: one per prunable weight.
  /// - Throws: `.noMemory`; `.badEnvironment` if the variable for the CPU level is invalid.
  func sparseLayers(_ masks: [Vector<UInt8>]) throws(SFError) -> [SparseLayer<Element>?] {
    let loops = Element.sparseLoops(at: try CPULevel.current())
    var layers = [SparseLayer<Element>?](repeating: nil, count: architecture.layers.count)
    for (entry, mask) in zip(layout.entries.filter(\.isWeight), masks) {
      guard let sizes = architecture.layers[entry.layer].sparseSizes else { continue }
      let products = sizes.products(density: Double(mask.countOnes) / Double(mask.count))
      guard !products.isEmpty else { continue }
      layers[entry.layer] = try SparseLayer(
        SparseWeights(mask: mask, sizes, loops.region), products, loops)
    }
    return layers
  }

  /// The kept weights of the layers that are faster without their zeros.
  ///
  /// - Parameter weights: one per prunable weight.
  /// - Throws: `.noMemory`.
  func sparseLayers(
    ofNonzero weights: [Vector<Element>]
  ) throws(SFError) -> [SparseLayer<Element>?] {
    let arena = try Arena<UInt8>(count: weights.reduce(0) { $0 + $1.count })
    var (masks, end): ([Vector<UInt8>], Int) = ([], 0)
    for vector in weights {
      let mask = arena.vector(at: end, count: vector.count)
      unsafe Element.markNonzero(vector.base, count: vector.count, in: mask.base)
      masks.append(mask)
      end += vector.count
    }
    return try withExtendedLifetime(arena) { () throws(SFError) in try sparseLayers(masks) }
  }

  /// The weights that each prunable tensor keeps, and the products that are computed over them.
  public var plan: [(kept: Int, products: SparseProducts)] {
    layout.entries.filter(\.isWeight).map { entry in
      if let layer = sparse[entry.layer] { return (layer.weights.count, layer.products) }
      let mask = mask?.vector(at: entry.offset, count: entry.count)
      return (mask?.countOnes ?? entry.count, [])
    }
  }

  /// What applying masks allocates at most besides arenas, in bytes.
  public var applicationBound: Int {
    let positions = architecture.layers.compactMap(\.sparseSizes).map(\.positions).max() ?? 0
    return NetworkMemory.creation(layers: architecture.layers.count) + 1024 * positions
  }

  /// The tensors, by their index in the layout, of which only kept weights are trained.
  func compactTensors(_ sparse: [SparseLayer<Element>?]) -> Set<Int> {
    Set(
      layout.entries.indices.filter {
        layout.entries[$0].isWeight && sparse[layout.entries[$0].layer]?.trainsCompactly == true
      })
  }

  /// Replaces masks and kept weights. The momentum of what is kept stays.
  ///
  /// - Throws: `.noMemory`; nothing has changed then.
  func change(mask: Arena<UInt8>?, sparse: [SparseLayer<Element>?]) throws(SFError) {
    if let old = optimizer {
      let new = try Optimizer<Element>(layout, without: compactTensors(sparse))
      for case let layer? in sparse where layer.trainsCompactly { try layer.prepareTraining() }
      let (before, after) = (old.momentumViews, new.momentumViews)
      for (i, entry) in layout.entries.enumerated() {
        let (from, to) = (self.sparse[entry.layer], sparse[entry.layer])
        if let source = before[i] {
          if let target = after[i] {
            target.assign(source)
          } else if let to {
            to.momentum?.gather(source, to.weights.positions)
          }
        } else if entry.isWeight, let from, let momentum = from.momentum {
          let temporary = try Arena<Element>(count: after[i] == nil ? entry.count : 0)
          let dense = after[i] ?? temporary.all
          dense.scatter(momentum, from.weights.positions)
          if after[i] == nil, let to { to.momentum?.gather(dense, to.weights.positions) }
        }
      }
      optimizer = new
    }
    self.mask = mask
    self.sparse = sparse
  }
}

extension Vector where Element: BLASScalar {
  /// Sets each element to that of `source` at its position.
  fileprivate func gather(_ source: Vector<Element>, _ positions: Vector<Int32>) {
    for i in 0..<count { self[i] = source[Int(positions[i])] }
  }

  /// Sets the elements at some positions.
  fileprivate func scatter(_ values: Vector<Element>, _ positions: Vector<Int32>) {
    for i in 0..<values.count { self[Int(positions[i])] = values[i] }
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
