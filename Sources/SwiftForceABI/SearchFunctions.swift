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
  let memory =
    MemoryBound.numbers(tensors, lists: 24) + MemoryBound.numbers(steps, lists: 5)
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
    options.bounds, options.counts, options.units, options.costs, sizes)
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
    try holding(memory) { () throws(Fault) in try step.take(in: search, with: nil) }
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
        _ = try searches[search]
        let memory = unsafe step.memory + placementMemory(given, step.tensors)
        try holding(memory) { () throws(Fault) in
          let placements = unsafe try placements(given, step.tensors)
          isTaking = true
          try step.take(in: search, with: ranks.with(placements))
        }
      }
    } catch {
      // The other ranks wait for this rank in a sum.
      if !isTaking { ranks.reportFailure() }
      throw error
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

/// The connection to the other ranks, without the places of tensors.
private func shared(_ ranks: sf_ranks, _ environment: FloatingPoint) throws(Fault) -> Ranks {
  guard let sum = unsafe ranks.sum else { throw .null("sum") }
  _ = unsafe try required(ranks.starts, "starts")
  let arePieces = unsafe ranks.dimensions != nil
  let context = unsafe ranks.context
  return Ranks([], arePieces: arePieces) { (numbers: inout [Int64]) throws(SFError) in
    let status = unsafe numbers.withUnsafeMutableBufferPointer { numbers in
      environment.ofCaller {
        unsafe sum(context, numbers.baseAddress, Int64(numbers.count))
      }
    }
    guard status == 0 else { throw .exchangeFailed }
  }
}

/// What `placements` allocates at most.
private func placementMemory(_ ranks: sf_ranks, _ count: Int) -> Int {
  guard let dimensions = unsafe ranks.dimensions else { return count * 64 }
  return (0..<count).reduce(0) { sum, tensor in
    let own = min(max(unsafe dimensions[tensor], 0), Int64(maximumDimensions))
    return sum + 160 + 16 * Int(own)
  }
}

/// Where the tensors of this rank lie.
private func placements(_ ranks: sf_ranks, _ count: Int) throws(Fault) -> [Placement] {
  let starts = unsafe try required(ranks.starts, "starts")
  guard unsafe ranks.dimensions != nil else {
    return (0..<count).map { i in Placement(start: Int(unsafe starts[i])) }
  }
  let dimensions = unsafe try required(ranks.dimensions, "dimensions")
  let extents = unsafe try required(ranks.extents, "extents")
  let strides = unsafe try required(ranks.strides, "strides")
  var placements: [Placement] = []
  var first = 0
  for tensor in 0..<count {
    let own = unsafe dimensions[tensor]
    guard (1...Int64(maximumDimensions)).contains(own) else {
      throw Fault(SF_BAD_COUNT, "a piece has 1 ... \(maximumDimensions) dimensions, not \(own)")
    }
    let range = first..<first + Int(own)
    placements.append(
      Placement(
        start: Int(unsafe starts[tensor]), extents: range.map { Int(unsafe extents[$0]) },
        strides: range.map { Int(unsafe strides[$0]) }))
    first = range.upperBound
  }
  return placements
}

/// As many as an array of numpy has.
private let maximumDimensions = 64

/// The arguments of a step, checked.
@safe private struct StepArguments {
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

  func take(in search: Int64, with ranks: Ranks?) throws(Fault) {
    try searches[search].use { (search) throws(Fault) in
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
  }

  var tensors: Int { weights.count }

  /// What the step allocates at most.
  var memory: Int { MemoryBound.selection(weights, gradients) }

  /// What limits add to it.
  func memory(within limits: Limits) -> Int { MemoryBound.limits(limits, of: weights) }
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

/// The arguments of an objective, checked.
@safe private struct ObjectiveArguments {
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
