// Exported: the progressive search. What must not live here: the search itself, and one selection
// without a search (SelectionFunctions.swift).

import CSwiftForce
import SwiftForceCore

private let searches = Handles<Search>("search")

@_cdecl("sf_search_create")
public func searchCreate(
  _ options: UnsafePointer<sf_search_options>?, _ sizes: UnsafePointer<Int64>?, _ tensors: Int64,
  _ search: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  let steps = unsafe isAligned(options) ? options?.pointee.steps ?? 0 : 0
  let wholes = unsafe isAligned(options) ? options?.pointee.whole_count ?? 0 : 0
  let memory =
    MemoryBound.numbers(tensors, lists: 24) + MemoryBound.numbers(wholes, lists: 40)
    + MemoryBound.numbers(steps, lists: 5)
    + MemoryBound.reports(steps) + searches.growth
  return unsafe status(error, memory: memory) { () throws(Fault) in
    let options = unsafe try required(options, "options").pointee
    let sizes = unsafe try required(sizes, "sizes")
    let handle = unsafe try required(search, "search")
    let least = unsafe options.total > 0 ? 0 : 1
    let count = try counted(tensors, atLeast: least, size: 1 << 38, "tensors")
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
  let total = unsafe options.total == 0 ? nil : Int(options.total)
  let taken = Int(unsafe options.taken)
  let damping = unsafe Damping(
    momentum: options.momentum, removedFactor: options.removed_factor,
    nestedFrom: options.nested_from == 0 ? nil : Int(options.nested_from))
  let saliency = unsafe options.saliency < 0 ? nil : try named(options.saliency, Saliency.self)
  let rule = unsafe options.rule < 0 ? nil : try named(options.rule, Rule.self)
  let limits = unsafe try limits(
    options.bounds, options.counts, options.units, options.costs, sizes, wholes: wholes(options))
  if unsafe options.keeps != nil {
    let keeps = unsafe try required(options.keeps, "keeps")
    let list = (0..<steps).map { i in Int(unsafe keeps[i]) }
    return try mappingErrors { () throws(SFError) in
      try Search(
        method, sizes: sizes, keep: keep, keeps: list, damping: damping, seed: seed, total: total,
        taken: taken, saliency: saliency, rule: rule, limits: limits)
    }
  }
  let schedule = try unsafe named(options.schedule, Schedule.self)
  return try mappingErrors { () throws(SFError) in
    try Search(
      method, sizes: sizes, keep: keep, steps: steps, schedule: schedule, damping: damping,
      seed: seed, total: total, taken: taken, saliency: saliency, rule: rule, limits: limits)
  }
}

@_cdecl("sf_search_step")
public func searchStep(
  _ search: Int64, _ arrays: UnsafePointer<sf_step_arrays>?,
  _ report: UnsafeMutablePointer<sf_report>?, _ layerKept: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: stepMemory(arrays)) { () throws(Fault) in
    let step = unsafe try StepArguments(arrays, report, layerKept, least: 1)
    let memory = try step.memory + limitMemory(of: search, step)
    try holding(memory) { () throws(Fault) in
      try searches[search].use { (search) throws(Fault) in try step.take(in: &search, with: nil) }
    }
  }
}

@_cdecl("sf_search_step_shared")
public func searchStepShared(
  _ search: Int64, _ arrays: UnsafePointer<sf_step_arrays>?, _ ranks: UnsafePointer<sf_ranks>?,
  _ report: UnsafeMutablePointer<sf_report>?, _ layerKept: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { (environment: FloatingPoint) throws(Fault) in
    let given = unsafe try required(ranks, "ranks").pointee
    let ranks = unsafe try shared(given, environment)
    var isTaking = false
    do throws(Fault) {
      try holding(unsafe stepMemory(arrays)) { () throws(Fault) in
        let step = unsafe try StepArguments(arrays, report, layerKept, least: 0)
        let memory =
          unsafe try step.memory + placementMemory(given, step.tensors)
          + limitMemory(of: search, step)
        try holding(memory) { () throws(Fault) in
          let placements = unsafe try placements(given, step.tensors)
          isTaking = true
          try searches[search].use { (search) throws(Fault) in
            try step.take(in: &search, with: ranks.with(placements))
          }
        }
      }
    } catch {
      // The other ranks wait for this rank in a sum.
      if !isTaking { ranks.reportFailure() }
      throw error
    }
  }
}

@_cdecl("sf_search_once")
public func searchOnce(
  _ options: UnsafePointer<sf_search_options>?, _ arrays: UnsafePointer<sf_step_arrays>?,
  _ report: UnsafeMutablePointer<sf_report>?, _ layerKept: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: stepMemory(arrays)) { () throws(Fault) in
    let options = unsafe try required(options, "options").pointee
    let step = unsafe try StepArguments(arrays, report, layerKept, least: 1)
    let tensors = MemoryBound.numbers(Int64(step.tensors), lists: 24)
    try holding(step.memory + tensors) { () throws(Fault) in
      guard unsafe options.steps == 1, unsafe options.total == 0 else {
        throw Fault(SF_BAD_STEPS, "a search without a handle takes one step, in one process")
      }
      let method = try unsafe named(options.method, Method.self)
      var search = unsafe try make(method, options, step.sizes)
      try holding(step.memory(within: search.limits)) { () throws(Fault) in
        try step.take(in: &search, with: nil)
      }
    }
  }
}

/// What the limits of a search add to a step.
private func limitMemory(of search: Int64, _ step: StepArguments) throws(Fault) -> Int {
  var memory = 0
  try searches[search].use { (search) throws(Fault) in memory = step.memory(within: search.limits) }
  return memory
}

/// What checking the arguments of a step allocates at most.
private func stepMemory(_ arrays: UnsafePointer<sf_step_arrays>?) -> Int {
  MemoryBound.arguments(unsafe isAligned(arrays) ? arrays?.pointee.tensors ?? 0 : 0, lists: 7)
}

@_cdecl("sf_search_objective")
public func searchObjective(
  _ search: Int64, _ arrays: UnsafePointer<sf_step_arrays>?, _ ranks: UnsafePointer<sf_ranks>?,
  _ objective: UnsafeMutablePointer<Double>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { (environment: FloatingPoint) throws(Fault) in
    let given = unsafe ranks == nil ? nil : try required(ranks, "ranks").pointee
    var connection: Ranks?
    if let given = unsafe given { connection = unsafe try shared(given, environment) }
    var isTaking = false
    do throws(Fault) {
      try holding(unsafe stepMemory(arrays)) { () throws(Fault) in
        let objective = unsafe try required(objective, "objective")
        let arguments = unsafe try ObjectiveArguments(arrays, least: connection == nil ? 1 : 0)
        let found = try searches[search]
        var memory = arguments.memory
        if let given = unsafe given { memory += unsafe placementMemory(given, arguments.tensors) }
        try holding(memory) { () throws(Fault) in
          var ranks: Ranks?
          if let given = unsafe given {
            ranks = connection?.with(unsafe try placements(given, arguments.tensors))
          }
          isTaking = true
          try found.use { (search) throws(Fault) in
            unsafe objective.pointee = try arguments.objective(of: search, with: ranks)
          }
        }
      }
    } catch {
      // The other ranks wait for this rank in a sum.
      if !isTaking { connection?.reportFailure() }
      throw error
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
      guard let found = search.report(ofStep: Int(step)) else {
        var fault = Fault(
          SF_BAD_STEPS, "this search has not taken step \(step)")
        fault.count = Int(step)
        throw fault
      }
      unsafe write(found, to: report, layerKept)
    }
  }
}

@_cdecl("sf_search_release")
public func searchRelease(_ search: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in try searches.release(search) }
}
