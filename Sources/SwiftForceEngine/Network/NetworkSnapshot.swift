// Copies of a network's parameters, to be put back after training that failed. What must not live here:
// when training has failed.

import SwiftForceCore

/// A copy of one parameter: all values, or those that a layer keeps.
enum ParameterCopy<Element: BLASScalar> {
  case all(Arena<Element>)
  case kept(SparseWeights, Arena<Element>)
}

extension Network {
  /// Keeps a copy of all parameters, in place of an earlier one.
  ///
  /// - Throws: `.noMemory`; the earlier copy is there then.
  public func remember() throws(SFError) {
    var copies: [ParameterCopy<Element>] = []
    for (entry, parameter) in zip(layout.entries, parameters) {
      if entry.isWeight, let layer = sparse[entry.layer] {
        if layer.isInDense { layer.gather(parameter.view) }
        let copy = try Arena<Element>(count: layer.values.count)
        copy.all.assign(layer.values)
        copies.append(.kept(layer.weights, copy))
      } else {
        let copy = try Arena<Element>(count: entry.count)
        copy.all.assign(parameter.view)
        copies.append(.all(copy))
      }
    }
    self.copies = copies
  }

  /// Releases the copy.
  public func forget() { copies = nil }

  /// Sets all parameters to those of the copy, except weights that the masks of now remove, which
  /// become zero. Without a copy, it does nothing.
  public func restore() {
    guard let copies else { return }
    for (i, (entry, values)) in zip(layout.entries, copies).enumerated() {
      let layer = entry.isWeight ? sparse[entry.layer] : nil
      if case .kept(let weights, let copy) = values, let layer, layer.weights === weights {
        layer.values.assign(copy.all)
      } else {
        restore(values, i, layer)
      }
      if let layer, layer.isInDense { layer.scatter(into: parameters[i].view) }
    }
  }

  /// Sets a tensor whose masks may have changed.
  private func restore(_ values: ParameterCopy<Element>, _ i: Int, _ layer: SparseLayer<Element>?) {
    let view = parameters[i].view
    switch values {
    case .all(let copy): view.assign(copy.all)
    case .kept(let weights, let copy):
      view.fill(with: 0)
      let positions = weights.positions
      for k in 0..<positions.count { view[Int(positions[k])] = copy.all[k] }
    }
    if let layer {
      layer.isInDense = true
      layer.gather(view)
    } else if let mask, let removed = trainedLayout.view(of: mask, i) {
      view.clear(whereRemovedBy: removed)
    }
  }

  /// The largest magnitude in a parameter; NaN if there is a NaN.
  public func largestMagnitude(_ parameter: Int) -> Element {
    let entry = layout.entries[parameter]
    if entry.isWeight, let layer = sparse[entry.layer], !layer.isInDense {
      return layer.values.largestMagnitude
    }
    return parameters[parameter].view.largestMagnitude
  }
}
