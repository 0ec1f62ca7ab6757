// Exported: the progressive search.

import CSwiftForce
import SwiftForceCore

private let searches = Handles<Search>("search")

@_cdecl("sf_search_create")
public func searchCreate(
  _ options: UnsafePointer<sf_search_options>?, _ sizes: UnsafePointer<Int64>?, _ tensors: Int64,
  _ search: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let options = unsafe try required(options, "options").pointee
    let sizes = unsafe try required(sizes, "sizes")
    let handle = unsafe try required(search, "search")
    let count = try counted(tensors, atLeast: 1, size: 1 << 38, "tensors")
    let method = try unsafe named(options.method, Method.self)
    try checkSteps(unsafe options.steps)
    let list = (0..<count).map { i in Int(unsafe sizes[i]) }
    let created = unsafe try make(method, options, list)
    unsafe handle.pointee = searches.add(created)
  }
}

private func make(
  _ method: Method, _ options: sf_search_options, _ sizes: [Int]
) throws(Fault) -> Search {
  let keep = Int(unsafe options.keep)
  let steps = Int(unsafe options.steps)
  let seed = unsafe options.seed
  if unsafe options.keeps != nil {
    let keeps = unsafe try required(options.keeps, "keeps")
    let list = (0..<steps).map { i in Int(unsafe keeps[i]) }
    return try mapping { () throws(SFError) in
      try Search(method, sizes: sizes, keep: keep, keeps: list, seed: seed)
    }
  }
  let schedule = try unsafe named(options.schedule, Schedule.self)
  return try mapping { () throws(SFError) in
    try Search(
      method, sizes: sizes, keep: keep, steps: steps, schedule: schedule, seed: seed)
  }
}

@_cdecl("sf_search_step")
public func searchStep(
  _ search: Int64, _ arrays: UnsafePointer<sf_step_arrays>?,
  _ report: UnsafeMutablePointer<sf_report>?, _ layerKept: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let given = unsafe try required(arrays, "arrays").pointee
    let report = unsafe try required(report, "report")
    let layerKept = unsafe try optional(layerKept, "layer_kept")
    let count = unsafe given.tensors
    let weights = unsafe try Arrays(given.weights, count, SF_OPERAND_WEIGHTS)
    let gradients =
      unsafe given.gradients == nil
      ? nil : try Arrays(given.gradients, count, SF_OPERAND_GRADIENTS)
    let previous =
      unsafe given.previous == nil
      ? nil : try Arrays(given.previous, count, SF_OPERAND_MASKS, types: [SF_TYPE_MASK])
    let masks = unsafe try Arrays(
      given.masks, count, SF_OPERAND_MASKS, types: [SF_TYPE_MASK], isWritten: true)
    let masked =
      unsafe given.masked == nil
      ? nil : try Arrays(given.masked, count, SF_OPERAND_MASKED_WEIGHTS, isWritten: true)
    try Region.checkDisjoint([weights, gradients, previous, masks, masked])
    try searches[search].use { (search) throws(Fault) in
      do throws(SFError) {
        let outcome = try search.step(
          weights: weights.tensors, gradients: gradients?.tensors, previous: previous?.masks,
          masks: masks.masks, masked: masked?.mutableTensors)
        unsafe write(outcome, to: report, layerKept)
      } catch {
        throw Fault(error)
      }
    }
  }
}

@_cdecl("sf_search_state")
public func searchState(
  _ search: Int64, _ taken: UnsafeMutablePointer<Int64>?, _ steps: UnsafeMutablePointer<Int64>?,
  _ keeps: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let taken = unsafe try required(taken, "taken")
    let steps = unsafe try required(steps, "steps")
    let keeps = unsafe try optional(keeps, "keeps")
    try searches[search].use { (search) throws(Fault) in
      unsafe taken.pointee = Int64(search.taken)
      unsafe steps.pointee = Int64(search.keeps.count)
      guard let keeps = unsafe keeps else { return }
      for (i, keep) in search.keeps.enumerated() { unsafe keeps[i] = Int64(keep) }
    }
  }
}

@_cdecl("sf_search_report")
public func searchReport(
  _ search: Int64, _ step: Int64, _ report: UnsafeMutablePointer<sf_report>?,
  _ layerKept: UnsafeMutablePointer<Int64>?, _ tensors: Int64,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let report = unsafe try required(report, "report")
    let layerKept = unsafe try optional(layerKept, "layer_kept")
    try searches[search].use { (search) throws(Fault) in
      guard tensors == Int64(search.sizes.count) else {
        throw Fault(
          SF_BAD_COUNT, "the search has \(search.sizes.count) tensors, not \(tensors)")
      }
      guard step >= 1, step <= Int64(search.taken) else {
        var fault = Fault(SF_BAD_STEPS, "step must be in 1 ... \(search.taken), not \(step)")
        fault.count = Int(step)
        throw fault
      }
      unsafe write(search.reports[Int(step) - 1], to: report, layerKept)
    }
  }
}

@_cdecl("sf_search_release")
public func searchRelease(_ search: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in try searches.release(search) }
}
