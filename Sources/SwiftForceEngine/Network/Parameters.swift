// Where the parameters of a network lie: one arena, first what is trained and then what is not, each
// in the order of the layers, each tensor on a cache line of its own. Gradients, momentum and masks
// use the layout of the first part, so that the optimizer runs over all of it at once. What must not
// live here: how parameters start or change.

import SwiftForceCore

/// One parameter tensor of a network.
public struct Parameter<Element: BLASScalar>: Sendable {
  /// Position of its layer.
  public let layer: Int
  public let role: ParameterRole
  /// Slowest dimension first: a linear weight is (outputs, inputs), that of a convolution (outputs,
  /// inputs / groups, height, width).
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

    var isWeight: Bool { description.role == .weight }
  }

  let entries: [Entry]
  /// Elements of the part that is trained, the gaps between tensors included.
  let trainedCount: Int
  /// Elements of the arena.
  let count: Int

  init(_ architecture: Architecture) {
    let parameters = architecture.parameters
    var offsets = [Int](repeating: 0, count: parameters.count)
    var offset = 0
    func place(where isPlaced: (ParameterRole) -> Bool) {
      for (i, (_, description)) in parameters.enumerated() where isPlaced(description.role) {
        offsets[i] = offset
        let count = description.shape.reduce(1, *)
        offset += count.roundedUp(toMultipleOf: ParameterLayout.granule)
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

  /// One view per tensor, in order, into an arena for the part that is trained; nil for the others.
  func trainedViews<Element>(of arena: Arena<Element>) -> [Vector<Element>?] {
    entries.map {
      $0.description.role.isTrained ? arena.vector(at: $0.offset, count: $0.count) : nil
    }
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
