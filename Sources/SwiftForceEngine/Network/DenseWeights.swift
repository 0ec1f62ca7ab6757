// When a layer that computes over its kept weights has dense weights, too: while a caller holds a
// view of them, or while a product over all weights needs them. What must not live here: which layers
// compute over kept weights (NetworkMasks.swift).

import SwiftForceCore
import Synchronization

/// How many times the view of each parameter is held. Several threads may count, also during a call
/// of the network.
public final class Holds: Sendable {
  private final class Count: Sendable {
    let value = Atomic<Int>(1)
  }

  private let counts: [Count]

  init(count: Int) { counts = (0..<count).map { _ in Count() } }

  /// How many parameters there are.
  public var count: Int { counts.count }

  /// Ends one hold of a parameter's view.
  public func end(_ parameter: Int) { counts[parameter].value.subtract(1, ordering: .releasing) }

  fileprivate func begin(_ parameter: Int) {
    counts[parameter].value.add(1, ordering: .acquiring)
  }

  fileprivate func contains(_ parameter: Int) -> Bool {
    counts[parameter].value.load(ordering: .acquiring) > 0
  }
}

extension Network {
  /// Makes the view of a parameter valid until `holds.end` is called as often as this was. Whoever
  /// creates a network holds all views once.
  public func hold(_ parameter: Int) {
    holds.begin(parameter)
    if layout.entries[parameter].isWeight { writeDense(layer: layout.entries[parameter].layer) }
  }

  /// Writes the weights of a layer to the dense memory, if they are not there.
  func writeDense(layer position: Int) {
    guard let layer = sparse[position], !layer.isInDense else { return }
    layer.scatter(into: ownParameters[position][0])
    layer.isInDense = true
  }

  /// Likewise for all layers.
  func writeDense() {
    for position in sparse.indices { writeDense(layer: position) }
  }

  /// The parameters that nobody holds. During a call of the network, no hold begins.
  var unheld: [Int] { layout.entries.indices.filter { !holds.contains($0) } }

  /// Releases the dense weights of some parameters. `values` must have all that they have: nobody has
  /// held them since before they were copied.
  func releaseDense(_ parameters: [Int]) {
    for i in parameters where layout.entries[i].isWeight {
      let entry = layout.entries[i]
      guard let layer = sparse[entry.layer], layer.isInDense else { continue }
      layer.isInDense = false
      parameterArena.release(at: entry.offset, count: entry.count)
    }
  }
}
