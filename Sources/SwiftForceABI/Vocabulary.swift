// Exported: the version, threads and CPU levels, the names of every axis, the table of methods, and
// the arithmetic of counts, schedules and permutations. What must not live here: anything that
// reads weights.

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

@_cdecl("sf_abi_version")
public func abiVersion(
  _ version: UnsafeMutablePointer<Int32>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    LibraryCalls.useCallingThreadOnly()
    unsafe try required(version, "version").pointee = SF_ABI_VERSION
  }
}

@_cdecl("sf_ieee")
public func ieee(
  _ body: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
  _ context: UnsafeMutableRawPointer?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    guard let body = unsafe body else { throw .null("body") }
    unsafe body(context)
  }
}

@_cdecl("sf_set_threads")
public func setThreads(_ threads: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    try mappingErrors { () throws(SFError) in try Threads.set(Int(threads)) }
  }
}

@_cdecl("sf_threads")
public func threads(
  _ threads: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let threads = unsafe try required(threads, "threads")
    unsafe threads.pointee = Int64(
      try mappingErrors { () throws(SFError) in try Threads.current() })
  }
}

@_cdecl("sf_cpu_levels")
public func cpuLevels(
  _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int64,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let current = try mappingErrors { () throws(SFError) in try CPULevel.current() }
    let others = CPULevel.available.filter { $0 != current }
    unsafe try write(([current] + others).map(\.name), to: text, capacity)
  }
}

@_cdecl("sf_names")
public func names(
  _ axis: Int32, _ text: UnsafeMutablePointer<CChar>?, _ capacity: Int64,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    unsafe try write(try names(of: axis), to: text, capacity)
  }
}

/// Writes lines, and a null byte after the last.
private func write(
  _ lines: [String], to text: UnsafeMutablePointer<CChar>?, _ capacity: Int64
) throws(Fault) {
  let text = unsafe try required(text, "text")
  let capacity = try counted(capacity, atLeast: 0, size: 1, "capacity")
  let bytes = Array(lines.map { $0 + "\n" }.joined().utf8)
  guard bytes.count < capacity else {
    throw Fault(
      SF_SMALL_BUFFER, "the text needs \(bytes.count + 1) bytes, but the buffer has \(capacity)")
  }
  for (i, byte) in bytes.enumerated() { unsafe text[i] = CChar(bitPattern: byte) }
  unsafe text[bytes.count] = 0
}

private func names(of axis: Int32) throws(Fault) -> [String] {
  switch sf_axis(rawValue: UInt32(bitPattern: axis)) {
  case SF_AXIS_SALIENCY: Saliency.names
  case SF_AXIS_SCHEDULE: Schedule.names
  case SF_AXIS_RULE: Rule.names
  case SF_AXIS_METHOD: Method.names
  case SF_AXIS_LAYER: LayerKind.names
  case SF_AXIS_ROLE: ParameterRole.names
  case SF_AXIS_LOSS: LossKind.names
  case SF_AXIS_ALLOCATION: Allocation.names
  case SF_AXIS_PATTERN: Pattern.names
  default: throw Fault(SF_UNKNOWN_NAME, "there is no axis number \(axis)")
  }
}

@_cdecl("sf_saliency_reads")
public func saliencyReads(
  _ saliency: Int32, _ info: UnsafeMutablePointer<sf_saliency_info>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let info = unsafe try required(info, "info")
    let saliency = try named(saliency, Saliency.self)
    unsafe info.pointee = sf_saliency_info(
      reads_weights: saliency.readsWeights ? 1 : 0,
      reads_gradients: saliency.readsGradients ? 1 : 0)
  }
}

@_cdecl("sf_method")
public func method(
  _ method: Int32, _ info: UnsafeMutablePointer<sf_method_info>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let info = unsafe try required(info, "info")
    let method = try named(method, Method.self)
    unsafe info.pointee = sf_method_info(
      saliency: number(of: method.saliency), rule: number(of: method.rule),
      one_shot: method.isOneShot ? 1 : 0,
      needs_gradients: method.saliency.readsGradients ? 1 : 0)
  }
}

private func number<Axis: Named & Equatable>(of axis: Axis) -> Int32 {
  Int32(Array(Axis.allCases).firstIndex(of: axis) ?? -1)
}

@_cdecl("sf_keep_count")
public func keepCount(
  _ n: Int64, _ sparsity: Double, _ keep: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let keep = unsafe try required(keep, "keep")
    unsafe keep.pointee = Int64(
      try mappingErrors { () throws(SFError) in try Keep.count(of: Int(n), sparsity: sparsity) })
  }
}

/// More steps than any search needs. A larger number is a mistake in the call.
let maximumSteps: Int64 = 1 << 24

@_cdecl("sf_schedule")
public func schedule(
  _ schedule: Int32, _ n: Int64, _ keep: Int64, _ steps: Int64,
  _ keeps: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.numbers(steps, lists: 1)) { () throws(Fault) in
    let keeps = unsafe try required(keeps, "keeps")
    let schedule = try named(schedule, Schedule.self)
    try checkSteps(steps)
    let amounts = try mappingErrors { () throws(SFError) in
      try schedule.keeps(of: Int(n), keep: Int(keep), steps: Int(steps))
    }
    for (i, amount) in amounts.enumerated() { unsafe keeps[i] = Int64(amount) }
  }
}

func checkSteps(_ steps: Int64) throws(Fault) {
  guard steps >= 1, steps <= maximumSteps else {
    var fault = Fault(SF_BAD_STEPS, "steps must be in 1 ... \(maximumSteps), not \(steps)")
    fault.count = Int(steps)
    throw fault
  }
}

@_cdecl("sf_permutation")
public func permutation(
  _ n: Int64, _ seed: UInt64, _ stream: UInt64, _ order: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let order = unsafe try required(order, "order")
    let count = try counted(n, atLeast: 1, size: 8, "n")
    var generator = Generator(seed: seed, stream: stream)
    unsafe generator.permute(UnsafeMutableBufferPointer(start: order, count: count))
  }
}
