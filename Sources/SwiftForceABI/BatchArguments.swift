// The batch of a call, with the checks that do not need the network. What must not live here:
// checks of row numbers, labels and features, which the engine makes.

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

/// A batch whose pointers, alignments and counts are valid. The engine checks row numbers, labels
/// and the number of features.
@safe struct BatchArguments {
  private let given: sf_batch

  init(_ batch: UnsafePointer<sf_batch>?, needsLabels: Bool) throws(Fault) {
    unsafe given = try required(batch, "batch").pointee
    _ = unsafe try required(given.inputs, "batch.inputs")
    if unsafe needsLabels || given.labels != nil {
      _ = unsafe try required(given.labels, "batch.labels")
    }
    if unsafe given.rows != nil { _ = unsafe try required(given.rows, "batch.rows") }
    let features = try counted(
      unsafe given.features, atLeast: 1, size: 4, "batch.features")
    _ = try counted(unsafe given.samples, atLeast: 1, size: 4 * features, "batch.samples")
    _ = try counted(unsafe given.count, atLeast: 1, size: 8, "batch.count")
    for (start, bytes) in spans where start.addingReportingOverflow(bytes).overflow {
      throw Fault(SF_BAD_COUNT, "the batch extends beyond the address space")
    }
  }

  var batch: Batch<Float> {
    unsafe Batch(
      inputs: given.inputs, labels: given.labels, rows: given.rows, samples: Int(given.samples),
      features: Int(given.features), count: Int(given.count))
  }

  /// How many samples are normalised together; nil: all of them.
  var together: Int? { unsafe given.together == 0 ? nil : Int(given.together) }

  /// The addresses of inputs, labels and row numbers, and their sizes in bytes.
  private var spans: [(start: UInt, bytes: UInt)] {
    let samples = unsafe UInt(given.samples)
    return unsafe [
      (UInt(bitPattern: given.inputs), samples * UInt(given.features) * 4),
      (UInt(bitPattern: given.labels), given.labels == nil ? 0 : samples * 8),
      (UInt(bitPattern: given.rows), given.rows == nil ? 0 : UInt(given.count) * 8),
    ]
  }

  /// Runs `body` while the memory for lists and tables is held back that a call with this batch
  /// needs.
  ///
  /// - Parameter makesLists: whether it makes lists of kept weights.
  func holdingMemory(
    for network: Network<Float>, makesLists: Bool = false, _ body: () throws(Fault) -> Void
  ) throws(Fault) {
    let count = unsafe Int(given.count)
    let lists = makesLists ? network.listsBound : 0
    try holding(network.memoryBound(count: count, isNormalized: true) + lists, body)
  }

  /// Refuses outputs that overlap the samples or the network's parameters, and samples that overlap
  /// the parameters if these are trained.
  func checkDisjoint(
    from outputs: Arrays?, and network: Network<Float>, isTrained: Bool = false
  ) throws(Fault) {
    let read = zip(spans, [SF_OPERAND_INPUTS, SF_OPERAND_LABELS, SF_OPERAND_ROWS]).map {
      Region(
        start: $0.start, end: $0.start + $0.bytes, operand: $1, tensor: 0, isWritten: false)
    }
    // Operand NONE: the network's parameters are not arguments of the call.
    let own = network.parameters.enumerated().map { position, parameter in
      let start = unsafe UInt(bitPattern: parameter.view.base)
      return Region(
        start: start, end: start + UInt(parameter.view.count) * 4, operand: SF_OPERAND_NONE,
        tensor: position, isWritten: isTrained)
    }
    var regions = read.filter { $0.end > $0.start } + own
    outputs?.appendRegions(to: &regions)
    try Region.checkDisjoint(&regions)
  }
}
