// The memory of one pass: what flows between the layers, both ways. What must not live here:
// anything that outlives a call; a network's state is its parameters and momentum.

import SwiftForceCore

/// The memory that a network computes in. It grows to what the largest batch has needed.
final class Activations<Element: BLASScalar> {
  private let architecture: Architecture
  private var arena: Arena<Element>
  private var labelArena: Arena<Int64>
  private var plan: ActivationPlan?
  private var planned = (batch: 0, goesBack: false, workers: 0)

  init(_ architecture: Architecture) throws(SFError) {
    self.architecture = architecture
    arena = try Arena(count: 0)
    labelArena = try Arena(count: 0)
  }

  /// Makes room for samples that are computed together. What was there before is lost.
  ///
  /// - Throws: `.noMemory`.
  func prepare(batch: Int, goesBack: Bool, _ means: Means<Element>) throws(SFError) {
    let workers = means.team.workers
    guard plan == nil || planned != (batch, goesBack, workers) else { return }
    guard Architecture.sizes.contains(batch) else {
      throw .noMemory(bytes: Int.max)
    }
    let rooms = architecture.layers.map {
      $0.workspace(batch: batch, means)
    }
    let plan = ActivationPlan(
      architecture, batch: batch, goesBack: goesBack, workspace: max(rooms.max() ?? 0, 2 * batch))
    if plan.count > arena.count {
      self.plan = nil
      // The old memory goes first: both together would be twice as much.
      arena = try Arena(count: 0)
      arena = try Arena(count: plan.count)
    }
    if batch > labelArena.count { labelArena = try Arena(count: batch) }
    self.plan = plan
    planned = (batch, goesBack, workers)
  }

  /// A value, as `Architecture` numbers them.
  func value(_ value: Int) -> Matrix<Element> {
    matrix(at: current.values[value], rows: architecture.shapes[value].features)
  }

  /// The gradient at a value; nil where it is not needed.
  func gradient(_ value: Int) -> Matrix<Element>? {
    current.gradients[value].map { matrix(at: $0, rows: architecture.shapes[value].features) }
  }

  /// Where a layer writes the gradient at its source number `place` that is to be added to what
  /// other layers wrote; nil where it is the first to write.
  func addition(_ layer: Int, _ place: Int) -> Matrix<Element>? {
    let value = architecture.sources[layer][place]
    return current.additions[layer][place].map {
      matrix(at: $0, rows: architecture.shapes[value].features)
    }
  }

  /// What a layer keeps from forward to backward.
  func kept(_ layer: Int) -> Vector<Element> {
    arena.vector(at: current.kept[layer], count: architecture.layers[layer].needs.kept)
  }

  var workspace: Vector<Element> {
    arena.vector(at: current.workspace, count: current.workspaceCount)
  }

  var labels: Vector<Int64> { labelArena.vector(at: 0, count: planned.batch) }

  private var current: ActivationPlan {
    guard let plan else { preconditionFailure("a pass without room") }
    return plan
  }

  private func matrix(at offset: Int, rows: Int) -> Matrix<Element> {
    let batch = planned.batch
    return arena.vector(at: offset, count: rows * batch).matrix(rows: rows, columns: batch)
  }
}
