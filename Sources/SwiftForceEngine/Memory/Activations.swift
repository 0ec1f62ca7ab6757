// The memory of one pass: what flows between the layers, forward and backward. What must not live
// here: anything that outlives a call. A network's state is its parameters and its momentum.

import SwiftForceCore

/// The memory that a network computes in. It grows to what the largest batch has needed.
final class Activations<Element: BLASScalar> {
  private let architecture: Architecture
  private var arena: Arena<Element>
  private var labelArena: Arena<Int64>
  private var denseGradientArena: Arena<Element>
  private var plan: ActivationPlan?
  private var planned = (batch: 0, includesBackward: false, workers: 0, workspace: 0)

  init(_ architecture: Architecture) throws(SFError) {
    self.architecture = architecture
    arena = try Arena(count: 0)
    labelArena = try Arena(count: 0)
    denseGradientArena = try Arena(count: 0)
  }

  /// Reserves memory for samples that are computed together. Its previous contents are lost.
  ///
  /// - Parameter workspace: how many elements the workspace must have for kept weights.
  /// - Throws: `.noMemory`.
  func prepare(
    batch: Int, includesBackward: Bool, workspace: Int = 0, _ context: ExecutionContext<Element>
  ) throws(SFError) {
    let workers = context.team.workers
    guard plan == nil || planned != (batch, includesBackward, workers, workspace) else { return }
    guard Architecture.validSizes.contains(Shape.padded(batch: batch)) else {
      throw .noMemory(bytes: Int.max)
    }
    let workspaces = architecture.layers.map {
      $0.workspace(batch: batch, context)
    }
    let plan = ActivationPlan(
      architecture, batch: batch, includesBackward: includesBackward,
      workspace: max(workspaces.max() ?? 0, 2 * batch, workspace))
    if plan.count > arena.count {
      self.plan = nil
      // The old memory is freed first: both together could be twice as much.
      arena = try Arena(count: 0)
      arena = try Arena(count: plan.count)
    }
    if batch > labelArena.count { labelArena = try Arena(count: batch) }
    self.plan = plan
    planned = (batch, includesBackward, workers, workspace)
  }

  /// Reserves memory for `denseGradient`. Its previous contents are lost.
  ///
  /// - Throws: `.noMemory`.
  func prepareDenseGradient(count: Int) throws(SFError) {
    if count > denseGradientArena.count { denseGradientArena = try Arena(count: count) }
  }

  /// Memory for the gradient of all weights of a layer that otherwise computes over kept ones.
  var denseGradient: Vector<Element> { denseGradientArena.all }

  /// A value, as `Architecture` numbers them.
  func value(_ value: Int) -> Activation<Element> {
    activation(at: current.values[value], architecture.shapes[value])
  }

  /// The gradient at a value; nil where it is not needed.
  func gradient(_ value: Int) -> Activation<Element>? {
    current.gradients[value].map { activation(at: $0, architecture.shapes[value]) }
  }

  /// Where a layer writes the gradient of the value that it reads at `position` of its sources, if
  /// that gradient is added to what other layers wrote; nil where the layer is the first to write.
  func partialGradient(_ layer: Int, _ position: Int) -> Activation<Element>? {
    let value = architecture.sources[layer][position]
    return current.partialGradients[layer][position].map {
      activation(at: $0, architecture.shapes[value])
    }
  }

  /// What a layer saves in its forward pass for its backward pass.
  func saved(_ layer: Int) -> Vector<Element> {
    arena.vector(at: current.saved[layer], count: architecture.layers[layer].needs.saved)
  }

  var workspace: Vector<Element> {
    arena.vector(at: current.workspace, count: current.workspaceCount)
  }

  var labels: Vector<Int64> { labelArena.vector(at: 0, count: planned.batch) }

  private var current: ActivationPlan {
    guard let plan else { preconditionFailure("a pass before prepare(batch:)") }
    return plan
  }

  private func activation(at offset: Int, _ shape: Shape) -> Activation<Element> {
    let count = shape.features * Shape.padded(batch: planned.batch)
    return Activation(
      arena.vector(at: offset, count: count), shape: shape, batch: planned.batch)
  }
}
