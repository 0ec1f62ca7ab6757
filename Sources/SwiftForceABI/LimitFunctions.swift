// Exported: how many weights each tensor keeps, by an allocation, by floors and by caps. What must not
// live here: selections within such limits (SelectionFunctions.swift, SearchFunctions.swift).

import CSwiftForce
import SwiftForceCore

@_cdecl("sf_allocate")
public func allocate(
  _ allocation: Int32, _ sizes: UnsafePointer<Int64>?, _ ends: UnsafePointer<Int64>?,
  _ bounds: UnsafePointer<sf_bounds>?, _ tensors: Int64, _ keep: Int64,
  _ counts: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.numbers(tensors, lists: 24)) { () throws(Fault) in
    let allocation = try named(allocation, Allocation.self)
    let count = try counted(tensors, atLeast: 1, size: 1 << 38, "tensors")
    let sizes = unsafe try numbers(sizes, count, "sizes")
    let ends = unsafe try numbers(ends, count, "ends")
    let target = unsafe try required(counts, "counts")
    let limits = unsafe try limits(bounds, nil, nil, nil, sizes)
    let found = try mappingErrors { () throws(SFError) in
      try allocation.counts(
        of: sizes, ends: ends, keep: Int(keep), within: try limits.ranges(of: sizes))
    }
    guard let found else {
      throw Fault(SF_UNKNOWN_NAME, "with the allocation global, scores decide what tensors keep")
    }
    for (i, number) in found.enumerated() { unsafe target[i] = Int64(number) }
  }
}

@_cdecl("sf_bounds_range")
public func boundsRange(
  _ sizes: UnsafePointer<Int64>?, _ bounds: UnsafePointer<sf_bounds>?, _ tensors: Int64,
  _ least: UnsafeMutablePointer<Int64>?, _ most: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.numbers(tensors, lists: 16)) { () throws(Fault) in
    let count = try counted(tensors, atLeast: 1, size: 1 << 38, "tensors")
    let sizes = unsafe try numbers(sizes, count, "sizes")
    let least = unsafe try required(least, "least")
    let most = unsafe try required(most, "most")
    let limits = unsafe try limits(try required(bounds, "bounds"), nil, nil, nil, sizes)
    let ranges = try mappingErrors { () throws(SFError) in try limits.ranges(of: sizes) }
    for (i, range) in ranges.enumerated() {
      unsafe least[i] = Int64(range.lowerBound)
      unsafe most[i] = Int64(range.upperBound)
    }
  }
}

/// A list of numbers.
func numbers(
  _ list: UnsafePointer<Int64>?, _ count: Int, _ name: String
) throws(Fault) -> [Int] {
  let list = unsafe try required(list, name)
  return (0..<count).map { i in Int(unsafe list[i]) }
}

/// The tensors of all ranks; nil: there is one rank, or nothing is limited.
func wholes(_ options: sf_search_options) throws(Fault) -> Wholes? {
  guard unsafe options.wholes != nil else { return nil }
  let count = try counted(unsafe options.whole_count, atLeast: 1, size: 1 << 38, "whole tensors")
  return Wholes(
    sizes: unsafe try numbers(options.wholes, count, "wholes"),
    first: Int(unsafe options.first_whole))
}

/// The limits that a caller passes; NULL: there are none of that kind.
///
/// - Parameter sizes: elements of each tensor of the search, if there is one rank.
func limits(
  _ bounds: UnsafePointer<sf_bounds>?, _ counts: UnsafePointer<Int64>?,
  _ units: UnsafePointer<sf_units>?, _ costs: UnsafePointer<Int64>?, _ sizes: [Int],
  wholes: Wholes? = nil
) throws(Fault) -> Limits {
  var limits = Limits(wholes: wholes)
  let sizes = wholes?.sizes ?? sizes
  let tensors = sizes.count
  if unsafe bounds != nil {
    let list = unsafe try required(bounds, "bounds")
    limits.bounds = (0..<tensors).map { i in unsafe Bounds(list[i]) }
  }
  if unsafe counts != nil { limits.counts = unsafe try numbers(counts, tensors, "counts") }
  if unsafe units != nil {
    limits.units = unsafe try Units(required(units, "units").pointee, sizes)
  }
  if unsafe costs != nil { limits.costs = unsafe try numbers(costs, tensors, "costs") }
  return limits
}

extension Units {
  fileprivate init(_ given: sf_units, _ sizes: [Int]) throws(Fault) {
    let pattern = try unsafe named(given.pattern, Pattern.self)
    let count = try counted(unsafe given.count, atLeast: 0, size: 8, "axes")
    let list = unsafe try numbers(given.axes, count, "axes")
    var axes: [Axes] = []
    var next = 0
    for _ in sizes {
      guard next + 3 <= count, list[next] >= 0, list[next] <= count - next - 3 else {
        throw Fault(SF_BAD_COUNT, "the list of axes ends too early")
      }
      let end = next + 3 + list[next]
      axes.append(
        Axes(Array(list[(next + 3)..<end]), output: list[next + 1], input: list[next + 2]))
      next = end
    }
    let (rows, columns) = unsafe (Int(given.rows), Int(given.columns))
    let areMeans = unsafe given.means != 0
    self = try mappingErrors { () throws(SFError) in
      try Units(
        pattern, axes: axes, sizes: sizes, rows: rows, columns: columns, areMeans: areMeans)
    }
  }
}

extension Bounds {
  fileprivate init(_ given: sf_bounds) {
    self.init()
    least = Int(given.least)
    most = Int(given.most)
    outputs = Int(given.outputs)
    inner = Int(given.inner)
    leastPerOutput = Int(given.least_per_output)
    mostPerOutput = Int(given.most_per_output)
    group = Int(given.group)
    mostPerGroup = Int(given.most_per_group)
  }
}
