// The connection to other ranks that a caller passes, and where its tensors lie among theirs. What must
// not live here: what ranks do together (SwiftForceCore).

import CSwiftForce
import SwiftForceCore

/// The connection to the other ranks, without the places of tensors.
func shared(_ ranks: sf_ranks, _ environment: FloatingPoint) throws(Fault) -> Ranks {
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
func placementMemory(_ ranks: sf_ranks, _ count: Int) -> Int {
  guard let dimensions = unsafe ranks.dimensions else { return count * 64 }
  return (0..<count).reduce(0) { sum, tensor in
    let own = min(max(unsafe dimensions[tensor], 0), Int64(maximumDimensions))
    return sum + 160 + 16 * Int(own)
  }
}

/// Where the tensors of this rank lie.
func placements(_ ranks: sf_ranks, _ count: Int) throws(Fault) -> [Placement] {
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
