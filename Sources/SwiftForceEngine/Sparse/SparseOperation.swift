// One masked layer by itself, for frameworks that have the rest of the network: its outputs and its
// gradients, from and to arrays of the caller. What must not live here: networks, and the choice of
// what runs over kept weights (SparseChoice.swift).

import SwiftForceCore

/// The product of the kept weights of a layer with a batch, and its gradients.
///
/// Kept weights are compact arrays in the order of their positions in the dense weight. Samples lie
/// in blocks of 16, (blocks, channels, height, width, 16), so a number of samples is a multiple of
/// 16; fewer than 16 are one block of their own number, of which only outputs are computed. Results
/// do not depend on the number of threads.
public final class SparseOperation<Element: BLASScalar> {
  /// The arrays of a backward pass. Those that are nil are not computed.
  public struct Gradients {
    let output: Vector<Element>
    let source: Vector<Element>?
    let values: Vector<Element>?
    let bias: Vector<Element>?

    public init(
      output: Vector<Element>, source: Vector<Element>?, values: Vector<Element>?,
      bias: Vector<Element>?
    ) {
      (self.output, self.source, self.values, self.bias) = (output, source, values, bias)
    }
  }

  /// Products that are too few for several threads: starting one takes as long as these.
  private static var leastProducts: Double { Double(1 << 20) }

  private let sizes: SparseSizes
  private let weights: SparseWeights
  private let loops: any SparseLoops<Element>.Type
  /// For each kept weight in the order of the lists, its index among all kept weights.
  private let order: Arena<Int32>
  /// Whether that is the order of all kept weights, as in linear layers.
  private let isInOrder: Bool
  /// Memory for one call, which grows to what the largest needed.
  private var memory: Arena<Element>

  /// - Parameter mask: (outputs, inputs, kernel, kernel): 0 where a weight is removed.
  /// - Throws: `.sizeMismatch`, `.noMemory`; `.badEnvironment` if the variable for the CPU level is
  ///   invalid.
  /// - Complexity: O(weights + image).
  public init(mask: Vector<UInt8>, _ sizes: SparseSizes) throws(SFError) {
    guard mask.count == sizes.weights else {
      throw .sizeMismatch(.masks, tensor: 0, got: mask.count, expected: sizes.weights)
    }
    self.sizes = sizes
    loops = Element.sparseLoops(at: try CPULevel.current())
    weights = try SparseWeights(mask: mask, sizes, loops.region)
    order = try Arena(count: weights.count)
    memory = try Arena(count: 0)
    let ranks = try Arena<Int32>(count: mask.count)
    var rank: Int32 = 0
    for i in 0..<mask.count where mask[i] != 0 {
      ranks.all[i] = rank
      rank += 1
    }
    var isInOrder = true
    for i in 0..<weights.count {
      order.all[i] = ranks.all[Int(weights.positions[i])]
      isInOrder = isInOrder && order.all[i] == i
    }
    self.isInOrder = isInOrder
  }

  /// target = the weights times the source, plus the bias.
  ///
  /// - Parameters:
  ///   - samples: below 16, or a multiple of 16.
  ///   - source: (inputs, height, width) of each sample.
  ///   - bias: one element per output channel; nil: zeros.
  /// - Throws: `.sizeMismatch`, `.badCount`, `.noMemory`, `.badThreads`, `.badEnvironment`.
  public func forward(
    samples: Int, _ source: Vector<Element>, values: Vector<Element>, bias: Vector<Element>?,
    into target: Vector<Element>
  ) throws(SFError) {
    try check(samples, least: 1)
    try check(source.count, samples * sizes.sourceElements, .inputs)
    try check(values.count, weights.count, .weights, 0)
    try check(bias?.count ?? sizes.outputs, sizes.outputs, .weights, 1)
    try check(target.count, samples * sizes.targetElements, .logits)
    let call = try Call(self, samples: samples, isBackward: false)
    defer { call.team.join() }
    let values = ordered(values, call)
    guard SparseSizes.usesPlanes(samples: samples) else {
      call.computation.forward(source, values: values, bias: bias, into: target)
      return
    }
    guard let planes = weights.planes else { preconditionFailure("planes were not prepared") }
    PlaneProduct(
      weights: weights, lists: planes, batch: samples, loops: loops, team: call.team
    ).run(source, values: values, bias: bias, workspace: call.scratch, into: target)
  }

  /// Computes gradients from that of the outputs, which is zero where there is no sample.
  ///
  /// - Parameters:
  ///   - samples: a multiple of 16.
  ///   - source: finite where there is no sample.
  /// - Throws: as `forward`.
  public func backward(
    samples: Int, _ source: Vector<Element>, values: Vector<Element>, _ gradients: Gradients
  ) throws(SFError) {
    try check(samples, least: SparseBatch.width)
    try check(source.count, samples * sizes.sourceElements, .inputs)
    try check(values.count, weights.count, .weights, 0)
    try check(gradients.output.count, samples * sizes.targetElements, .gradients, 0)
    try check(gradients.source?.count ?? source.count, source.count, .gradients, 1)
    try check(gradients.values?.count ?? values.count, values.count, .gradients, 2)
    try check(gradients.bias?.count ?? sizes.outputs, sizes.outputs, .gradients, 3)
    let call = try Call(self, samples: samples, isBackward: true)
    defer { call.team.join() }
    if let target = gradients.values {
      call.computation.weightGradient(
        source, outputGradient: gradients.output, accumulate: false, into: call.values)
      unsafe loops.scatter(
        call.values.base, order: order.all.base, count: weights.count, into: target.base)
    }
    gradients.bias?.assignChannelSums(
      of: Activation(gradients.output, shape: sizes.targetShape, batch: samples),
      accumulate: false)
    if let target = gradients.source {
      call.computation.inputGradient(
        gradients.output, values: ordered(values, call), workspace: call.ordered, into: target)
    }
  }

  /// Kept weights in the order of the lists.
  private func ordered(_ values: Vector<Element>, _ call: Call) -> Vector<Element> {
    if isInOrder { return values }
    unsafe loops.gather(
      values.base, order: order.all.base, count: weights.count, into: call.values.base)
    return call.values
  }

  private func check(_ samples: Int, least: Int) throws(SFError) {
    let isWhole = samples % SparseBatch.width == 0
    guard samples >= least, isWhole || samples < SparseBatch.width else {
      throw .badCount(samples)
    }
  }

  private func check(
    _ count: Int, _ expected: Int, _ operand: Operand, _ tensor: Int = 0
  ) throws(SFError) {
    guard count == expected else {
      throw .sizeMismatch(operand, tensor: tensor, got: count, expected: expected)
    }
  }

  /// The threads and the memory of one call.
  private struct Call {
    let team: Team
    let computation: SparseComputation<Element>
    /// Kept weights in the order of the lists.
    let values: Vector<Element>
    /// The same in that of the transposed lists; empty in a forward pass.
    let ordered: Vector<Element>
    /// Copies of what regions read, or planes.
    let scratch: Vector<Element>

    init(
      _ operation: SparseOperation, samples: Int, isBackward: Bool
    ) throws(SFError) {
      let weights = operation.weights
      let positions = weights.rows.outputs * weights.columns.outputs
      let products = Double(weights.count) * Double(positions) * Double(samples)
      let isSmall = SparseSizes.usesPlanes(samples: samples)
      if isSmall { try weights.preparePlanes() }
      let isShort =
        isSmall && weights.planes?.inputs != nil
        ? weights.count < FewSampleProduct<Element>.leastWeights
        : products < SparseOperation.leastProducts
      team = Team(workers: isShort ? 1 : try Threads.current())
      let copies =
        isSmall
        ? PlaneGeometry(rows: weights.rows, columns: weights.columns)
          .workspace(inputs: weights.inputs, batch: samples)
        : weights.windowElements * team.workers
      var end = 0
      let parts = [weights.count, isBackward ? weights.orderedCount : 0, copies].map { count in
        defer { end += count.roundedUp(toMultipleOf: 16) }
        return end..<end + count
      }
      if operation.memory.count < end { operation.memory = try Arena(count: end) }
      let memory = operation.memory.all
      (values, ordered, scratch) = (
        memory.part(parts[0]), memory.part(parts[1]), memory.part(parts[2])
      )
      computation = SparseComputation(
        weights: weights, batch: SparseBatch(samples: samples, isFlat: false),
        loops: operation.loops, team: team, scratch: scratch)
    }
  }
}
