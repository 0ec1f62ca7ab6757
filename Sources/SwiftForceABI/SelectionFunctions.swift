// Exported: scores and one selection. What must not live here: searches of several steps
// (SearchFunctions.swift).

import CSwiftForce
import SwiftForceCore

@_cdecl("sf_saliency")
public func saliency(
  _ saliency: Int32, _ weights: UnsafePointer<sf_array>?, _ gradients: UnsafePointer<sf_array>?,
  _ scores: UnsafePointer<sf_array>?, _ tensors: Int64, _ seed: UInt64,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.arguments(tensors, lists: 3)) { () throws(Fault) in
    let saliency = try named(saliency, Saliency.self)
    let weights = unsafe try Arrays(weights, tensors, SF_OPERAND_WEIGHTS)
    let gradients =
      unsafe gradients == nil ? nil : try Arrays(gradients, tensors, SF_OPERAND_GRADIENTS)
    let scores = unsafe try Arrays(scores, tensors, SF_OPERAND_SCORES, isWritten: true)
    try Region.checkDisjoint([weights, gradients, scores])
    try holding(MemoryBound.selection(weights, gradients)) { () throws(Fault) in
      try mappingErrors { () throws(SFError) in
        try Selection.score(
          saliency, weights: weights.tensors, gradients: gradients?.tensors, seed: seed,
          into: scores.mutableTensors)
      }
    }
  }
}

@_cdecl("sf_select")
public func select(
  _ scores: UnsafePointer<sf_array>?, _ masks: UnsafePointer<sf_array>?, _ tensors: Int64,
  _ keep: Int64, _ bounds: UnsafePointer<sf_bounds>?, _ counts: UnsafePointer<Int64>?,
  _ units: UnsafePointer<sf_units>?, _ costs: UnsafePointer<Int64>?,
  _ report: UnsafeMutablePointer<sf_report>?, _ layerKept: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.arguments(tensors, lists: 6)) { () throws(Fault) in
    let scores = unsafe try Arrays(scores, tensors, SF_OPERAND_SCORES)
    let masks = unsafe try Arrays(
      masks, tensors, SF_OPERAND_MASKS, types: [SF_TYPE_MASK], isWritten: true)
    let report = unsafe try required(report, "report")
    let layerKept = unsafe try optional(layerKept, "layer_kept")
    try Region.checkDisjoint([scores, masks])
    let limits = unsafe try limits(bounds, counts, units, costs, scores.sizes)
    let memory = MemoryBound.selection(scores) + MemoryBound.limits(limits, of: scores)
    try holding(memory) { () throws(Fault) in
      let outcome = try mappingErrors { () throws(SFError) in
        try Selection.select(scores.tensors, keep: Int(keep), into: masks.masks, limits: limits)
      }
      unsafe write(outcome, to: report, layerKept)
    }
  }
}

/// Writes a report to the caller's struct and list.
func write(
  _ report: Report, to record: UnsafeMutablePointer<sf_report>,
  _ layerKept: UnsafeMutablePointer<Int64>?
) {
  unsafe record.pointee = sf_report(
    step: Int64(report.step), keep: Int64(report.keep), candidates: Int64(report.candidates),
    removed: Int64(report.removed), revived: Int64(report.revived),
    zero_scores: Int64(report.zeroScores), at_threshold: Int64(report.atThreshold),
    kept_at_threshold: Int64(report.keptAtThreshold), arbitrary: Int64(report.arbitrary),
    passes: Int64(report.passes), kept_by_floors: Int64(report.keptByFloors),
    removed_by_caps: Int64(report.removedByCaps),
    threshold: report.threshold, saliency: report.saliency,
    total_saliency: report.totalSaliency, gradient_norm: report.gradientNorm,
    objective_before: report.objectiveBefore)
  guard let layerKept = unsafe layerKept else { return }
  for (i, kept) in report.layerKept.enumerated() { unsafe layerKept[i] = Int64(kept) }
}
