// One dense layer by itself, for frameworks that have the rest of the network: its outputs and its
// gradients, from and to arrays of the caller. What must not live here: layers over kept weights
// (SparseOperation.swift).

import SwiftForceCore

/// A layer of an image that computes in the caller's arrays, with the layout of `Activation`.
///
/// Results do not depend on the number of threads.
public struct LayerOperation: Sendable {
  /// The arrays of a pass.
  public struct Arrays<Element: BLASScalar> {
    public let source: Vector<Element>
    public let parameters: [Vector<Element>]
    public let output: Vector<Element>
    /// What the forward pass leaves for the backward pass.
    public let saved: Vector<Element>

    public init(
      source: Vector<Element>, parameters: [Vector<Element>], output: Vector<Element>,
      saved: Vector<Element>
    ) {
      (self.source, self.parameters, self.output, self.saved) = (source, parameters, output, saved)
    }
  }

  /// The arrays of gradients. Those of the parameters are all there, or none is.
  public struct Gradients<Element: BLASScalar> {
    public let output: Vector<Element>
    public let source: Vector<Element>?
    public let parameters: [Vector<Element>]

    public init(
      output: Vector<Element>, source: Vector<Element>?, parameters: [Vector<Element>]
    ) {
      (self.output, self.source, self.parameters) = (output, source, parameters)
    }
  }

  private let layer: any Layer
  private let shape: Shape

  /// - Parameter shape: channels, height and width of a sample.
  /// - Throws: `.badArchitecture`.
  public init(_ description: LayerDescription, shape: [Int]) throws(SFError) {
    self.shape = Shape(dimensions: shape)
    do throws(LayerFault) {
      guard shape.count == 3, shape.allSatisfy(Architecture.validSizes.contains),
        shape.reduce(1.0, { $0 * Double($1) }) <= Double(Architecture.elementLimit)
      else { throw LayerFault("no image has the size \(shape)") }
      guard description.kind != .add else { throw LayerFault("add reads two images") }
      layer = try description.makeLayer([self.shape])
    } catch {
      throw .badArchitecture(layer: 0, reason: error.reason)
    }
  }

  /// What a call with so many samples allocates at most besides arenas, in bytes.
  public func memoryBound(samples: Int) -> Int {
    let workers = (try? Threads.current()) ?? 1
    return 2 * layer.tables(batch: samples, workers: workers) + workers * (1 << 14) + (1 << 14)
  }

  /// Sets the output, and what is saved; of a batch normalisation also the running statistics, by
  /// those of the batch.
  ///
  /// - Throws: `.sizeMismatch`, `.noMemory`, `.badThreads`, `.badEnvironment`.
  public func forward<Element>(
    samples: Int, _ arrays: Arrays<Element>
  ) throws(SFError) {
    let call = try Call(self, samples, arrays)
    defer { call.pass.context.team.join() }
    layer.forward(call.pass)
    layer.updateRunningStatistics(call.pass)
  }

  /// Sets the gradients from that of the output, which is zero where there is no sample.
  ///
  /// - Throws: as `forward`.
  public func backward<Element>(
    samples: Int, _ arrays: Arrays<Element>, _ gradients: Gradients<Element>
  ) throws(SFError) {
    let call = try Call(self, samples, arrays)
    defer { call.pass.context.team.join() }
    let output = call.pass.output
    try check([gradients.output], [output.elements.count], .gradients)
    if let source = gradients.source {
      try check([source], [call.pass.input.elements.count], .gradients)
    }
    let trained = layer.parameters.filter { $0.role.isTrained }
    if !gradients.parameters.isEmpty {
      try check(
        gradients.parameters, trained.map { Shape(dimensions: $0.shape).features }, .gradients)
    }
    let none = trained.map { _ in nil as Vector<Element>? }
    layer.backward(
      call.pass,
      BackwardPass(
        outputGradient: Activation(gradients.output, shape: layer.outputShape, batch: samples),
        inputGradient: gradients.source.map { Activation($0, shape: shape, batch: samples) },
        addendGradient: nil,
        parameterGradients: gradients.parameters.isEmpty ? none : gradients.parameters,
        keptGradient: nil, accumulates: false))
  }

  private func check<Element>(
    _ arrays: [Vector<Element>], _ counts: [Int], _ operand: Operand
  ) throws(SFError) {
    guard arrays.count == counts.count else {
      throw .sizeMismatch(operand, tensor: nil, got: arrays.count, expected: counts.count)
    }
    for (position, (array, count)) in zip(arrays, counts).enumerated() where array.count != count {
      throw .sizeMismatch(operand, tensor: position, got: array.count, expected: count)
    }
  }

  /// The checked arrays, the threads and the memory of one call.
  private struct Call<Element: BLASScalar> {
    let pass: Pass<Element>
    private let workspace: Arena<Element>

    init(
      _ operation: LayerOperation, _ samples: Int, _ arrays: Arrays<Element>
    ) throws(SFError) {
      let (layer, shape) = (operation.layer, operation.shape)
      let padded = Shape.padded(batch: samples)
      let output = layer.outputShape
      try operation.check([arrays.source], [padded * shape.features], .inputs)
      try operation.check([arrays.output], [padded * output.features], .logits)
      try operation.check(
        arrays.parameters, layer.parameters.map { Shape(dimensions: $0.shape).features }, .weights)
      try operation.check([arrays.saved], [layer.needs.saved], .accumulated)
      try LibraryCalls.prepare()
      let context = ExecutionContext<Element>(
        team: Team(workers: try Threads.current()),
        tiles: Element.tiles(at: try CPULevel.current()))
      workspace = try Arena(count: layer.workspace(batch: samples, context))
      pass = Pass(
        input: Activation(arrays.source, shape: shape, batch: samples), addend: nil,
        output: Activation(arrays.output, shape: output, batch: samples),
        parameters: arrays.parameters, sparse: nil, saved: arrays.saved, normalization: .batch,
        workspace: workspace.all, context: context)
    }
  }
}
