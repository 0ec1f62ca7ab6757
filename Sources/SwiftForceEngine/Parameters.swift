// Where the parameters of a network lie: one arena, in the order of the layers, each tensor on a
// cache line of its own. Gradients, momentum and masks use the same layout, so that the optimizer
// runs over all of them at once. What must not live here: how parameters start or change.

import SwiftForceCore

/// One parameter tensor of a network.
public struct Parameter<Element: BLASScalar>: Sendable {
  /// Position of its layer.
  public let layer: Int
  /// True for a prunable weight, false for a bias.
  public let isWeight: Bool
  /// Slowest dimension first; a linear weight is (outputs, inputs).
  public let shape: [Int]
  /// The network's own memory, to be read or written between calls. Its address does not change.
  /// It must not be used after the network is gone.
  public let view: Vector<Element>
}

/// The places of tensors in an arena.
struct ParameterLayout: Sendable {
  /// Elements between the starts of two tensors are a multiple of this: 64 bytes of floats.
  static let granule = 16

  struct Entry: Sendable {
    let layer: Int
    let description: ParameterDescription
    let offset: Int
    let count: Int

    var isWeight: Bool { description.role != .bias }
  }

  let entries: [Entry]
  /// Elements of the arena, the gaps between tensors included.
  let count: Int

  init(_ architecture: Architecture) {
    var entries: [Entry] = []
    var offset = 0
    for (layer, description) in architecture.parameters {
      let count = description.shape.reduce(1, *)
      entries.append(
        Entry(layer: layer, description: description, offset: offset, count: count))
      offset += count.roundedUp(toMultipleOf: ParameterLayout.granule)
    }
    self.entries = entries
    count = offset
  }

  /// One view per tensor, in order.
  func views<Element>(of arena: Arena<Element>) -> [Vector<Element>] {
    entries.map { arena.vector(at: $0.offset, count: $0.count) }
  }
}

/// A value per parameter tensor, grouped by the layer that it belongs to.
struct ByLayer<Value> {
  private let groups: [[Value]]

  /// - Parameter values: one per entry of the layout, in order.
  init(_ values: [Value], layout: ParameterLayout, layers: Int) {
    var groups = [[Value]](repeating: [], count: layers)
    for (entry, value) in zip(layout.entries, values) { groups[entry.layer].append(value) }
    self.groups = groups
  }

  subscript(layer: Int) -> [Value] { groups[layer] }
}
