// The arguments of a step and of an objective: checked once, here. What must not live here: what is
// done with them (SearchFunctions.swift).

import CSwiftForce
import SwiftForceCore

/// The arguments of a step, checked.
@safe struct StepArguments {
  private let weights: Arrays
  private let gradients: Arrays?
  private let previous: Arrays?
  private let masks: Arrays
  private let masked: Arrays?
  private let accumulated: Arrays?
  private let report: UnsafeMutablePointer<sf_report>
  private let layerKept: UnsafeMutablePointer<Int64>?

  /// - Parameter least: the smallest number of tensors.
  init(
    _ arrays: UnsafePointer<sf_step_arrays>?, _ report: UnsafeMutablePointer<sf_report>?,
    _ layerKept: UnsafeMutablePointer<Int64>?, least: Int64
  ) throws(Fault) {
    let given = unsafe try required(arrays, "arrays").pointee
    unsafe self.report = try required(report, "report")
    unsafe self.layerKept = try optional(layerKept, "layer_kept")
    let count = unsafe given.tensors
    weights = unsafe try Arrays(given.weights, count, SF_OPERAND_WEIGHTS, least: least)
    gradients =
      unsafe given.gradients == nil
      ? nil : try Arrays(given.gradients, count, SF_OPERAND_GRADIENTS, least: least)
    previous =
      unsafe given.previous == nil
      ? nil
      : try Arrays(given.previous, count, SF_OPERAND_MASKS, types: [SF_TYPE_MASK], least: least)
    masks = unsafe try Arrays(
      given.masks, count, SF_OPERAND_MASKS, types: [SF_TYPE_MASK], isWritten: true, least: least)
    masked =
      unsafe given.masked == nil
      ? nil
      : try Arrays(given.masked, count, SF_OPERAND_MASKED_WEIGHTS, isWritten: true, least: least)
    accumulated =
      unsafe given.accumulated == nil
      ? nil
      : try Arrays(
        given.accumulated, count, SF_OPERAND_ACCUMULATED,
        types: [SF_TYPE_FLOAT32, SF_TYPE_FLOAT64],
        isWritten: true, least: least)
    try Region.checkDisjoint([weights, gradients, previous, masks, masked, accumulated])
  }

  func take(in search: inout Search, with ranks: Ranks?) throws(Fault) {
    do throws(SFError) {
      let outcome = try search.step(
        weights: weights.tensors, gradients: gradients?.tensors, previous: previous?.masks,
        masks: masks.masks, masked: masked?.mutableTensors,
        accumulated: accumulated?.mutableTensors, ranks: ranks)
      unsafe write(outcome, to: report, layerKept)
    } catch {
      throw Fault(error)
    }
  }

  /// Elements of each tensor of weights.
  var sizes: [Int] { weights.sizes }

  var tensors: Int { weights.count }

  /// What the step allocates at most.
  var memory: Int { MemoryBound.selection(weights, gradients) }

  /// What limits add to it.
  func memory(within limits: Limits) -> Int { MemoryBound.limits(limits, of: weights) }
}

/// The arguments of an objective, checked.
@safe struct ObjectiveArguments {
  private let weights: Arrays
  private let gradients: Arrays?
  private let masks: Arrays

  init(_ arrays: UnsafePointer<sf_step_arrays>?, least: Int64) throws(Fault) {
    let given = unsafe try required(arrays, "arrays").pointee
    let count = unsafe given.tensors
    weights = unsafe try Arrays(given.weights, count, SF_OPERAND_WEIGHTS, least: least)
    gradients =
      unsafe given.gradients == nil
      ? nil : try Arrays(given.gradients, count, SF_OPERAND_GRADIENTS, least: least)
    masks = unsafe try Arrays(
      given.masks, count, SF_OPERAND_MASKS, types: [SF_TYPE_MASK], least: least)
    try Region.checkDisjoint([weights])
  }

  func objective(of search: Search, with ranks: Ranks?) throws(Fault) -> Double {
    try mappingErrors { () throws(SFError) in
      try search.objective(
        weights: weights.tensors, gradients: gradients?.tensors, masks: masks.masks, ranks: ranks)
    }
  }

  var tensors: Int { weights.count }

  var memory: Int { MemoryBound.selection(weights, gradients) }
}
