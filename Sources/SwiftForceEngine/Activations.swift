// The memory of one micro-batch: what flows between the layers, both ways. What must not live here:
// anything that outlives a call; a network's state is its parameters and momentum.

import SwiftForceCore

/// Room for the input, every layer's output, two gradients that take turns, and the loss.
///
/// A batch is worked off in micro-batches, so memory does not grow with it and a layer's output is
/// still in cache when the next one reads it.
struct Activations<Element: BLASScalar> {
  /// Samples of a micro-batch: two of the usual 128, enough for BLAS to reach its speed.
  static var capacity: Int { 256 }

  private let arena: Arena<Element>
  private let labelArena: Arena<Int64>
  private let features: [Int]
  private let offsets: [Int]
  private let gradientOffsets: (even: Int, odd: Int)
  private let workspaceOffset: Int

  init(_ architecture: Architecture) throws(SFError) {
    features = architecture.shapes.map(\.features)
    var offsets: [Int] = []
    var end = 0
    for size in features {
      offsets.append(end)
      end += size * Activations.capacity
    }
    self.offsets = offsets
    // No gradient is taken below the first layer with parameters.
    let widest = features.dropFirst(architecture.firstTrainable + 1).max() ?? 0
    gradientOffsets = (even: end, odd: end + widest * Activations.capacity)
    workspaceOffset = end + 2 * widest * Activations.capacity
    arena = try Arena(count: workspaceOffset + 2 * Activations.capacity)
    labelArena = try Arena(count: Activations.capacity)
  }

  /// What goes into layer `position`; at the number of layers, the logits.
  func values(_ position: Int, batch: Int) -> Matrix<Element> {
    matrix(at: offsets[position], rows: features[position], columns: batch)
  }

  /// The gradient of what goes into layer `position`. It shares its memory with those of the
  /// positions two below and two above.
  func gradient(_ position: Int, batch: Int) -> Matrix<Element> {
    let offset = position.isMultiple(of: 2) ? gradientOffsets.even : gradientOffsets.odd
    return matrix(at: offset, rows: features[position], columns: batch)
  }

  func labels(batch: Int) -> Vector<Int64> { labelArena.vector(at: 0, count: batch) }

  /// Two numbers for each sample, for the loss.
  func workspace(batch: Int) -> Vector<Element> {
    arena.vector(at: workspaceOffset, count: 2 * batch)
  }

  private func matrix(at offset: Int, rows: Int, columns: Int) -> Matrix<Element> {
    arena.vector(at: offset, count: rows * columns).matrix(rows: rows, columns: columns)
  }
}
