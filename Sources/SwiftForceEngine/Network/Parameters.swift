// The layout of a network's parameters: one arena, trained tensors first, each part in the order of
// the layers, each tensor on its own cache lines. What
// must not live here: initial values and updates.

import SwiftForceCore

/// One parameter tensor of a network.
public struct Parameter<Element: BLASScalar>: Sendable {
  /// The position of its layer.
  public let layer: Int
  public let role: ParameterRole
  /// Slowest dimension first: (outputs, inputs) for a linear weight, (outputs, inputs / groups,
  /// height, width) for a convolution's.
  public let shape: [Int]
  /// The network's own memory, which a caller that holds it (`Network.hold`) may read and write
  /// between calls. Its address does not change. It must not be used after the network is gone.
  public let view: Vector<Element>
}

/// The offsets of parameter tensors in an arena.
struct ParameterLayout: Sendable {
  /// Tensors begin at multiples of this many elements: 64 bytes of floats.
  static let alignment = 16

  struct Entry: Sendable {
    let layer: Int
    let description: ParameterDescription
    let offset: Int
    let count: Int

    var isWeight: Bool { description.role == .weight }
  }

  let entries: [Entry]
  /// Elements of the trained part, including the gaps between tensors.
  let trainedCount: Int
  /// Elements of the whole arena.
  let count: Int

  init(_ architecture: Architecture) {
    let parameters = architecture.parameters
    var offsets = [Int](repeating: 0, count: parameters.count)
    var offset = 0
    func place(where isPlaced: (ParameterRole) -> Bool) {
      for (i, (_, description)) in parameters.enumerated() where isPlaced(description.role) {
        offsets[i] = offset
        let count = description.shape.reduce(1, *)
        offset += count.roundedUp(toMultipleOf: ParameterLayout.alignment)
      }
    }
    place(where: \.isTrained)
    trainedCount = offset
    place(where: { !$0.isTrained })
    count = offset
    entries = zip(parameters, offsets).map { parameter, offset in
      Entry(
        layer: parameter.layer, description: parameter.description, offset: offset,
        count: parameter.description.shape.reduce(1, *))
    }
  }

  /// One view per tensor, in order.
  func views<Element>(of arena: Arena<Element>) -> [Vector<Element>] {
    entries.map { arena.vector(at: $0.offset, count: $0.count) }
  }
}

/// One value per parameter tensor, grouped by layer.
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
