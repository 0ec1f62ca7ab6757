// Memory that a call holds back before it begins, so that none of Swift's allocations fails: Swift
// would end the process. What must not live here: how it is held (CPlatform), and the memory of
// networks, which an Arena allocates and whose failure is an ordinary error.
//
// Bounds, not failable arrays: what a call allocates depends on a few counts, while every array of
// the core would need another type and another way to be filled.

import CPlatform
import CSwiftForce
import SwiftForceCore

/// Runs `body` while `bytes` of memory are held back for it.
///
/// - Parameter bytes: more than all that `body` allocates at the same time; see `MemoryBound`.
/// - Throws: `SF_NO_MEMORY` if that much is not available; then `body` did not run.
func holding<Result>(
  _ bytes: Int, _ body: () throws(Fault) -> Result
) throws(Fault) -> Result {
  var reserve = unsafe platform_reserve()
  // Its address is in a list while memory is held.
  return unsafe try withUnsafeMutablePointer(to: &reserve) { reserve throws(Fault) -> Result in
    guard bytes >= 0, unsafe platform_hold(reserve, bytes) == 1 else {
      throw Fault(.noMemory(bytes: bytes))
    }
    defer { unsafe platform_let_go(reserve) }
    return try body()
  }
}

/// How much memory the parts of a call allocate at most, in bytes.
enum MemoryBound {
  /// Checking `lists` lists of as many tensors, and sorting the memory of all.
  static func arguments(_ tensors: Int64, lists: Int) -> Int { count(tensors) * lists * 160 }

  /// Lists of `count` numbers.
  static func numbers(_ count: Int64, lists: Int) -> Int { self.count(count) * lists * 8 }

  /// What a search keeps of so many steps.
  static func reports(_ steps: Int64) -> Int { count(steps) * MemoryLayout<Report>.stride }

  /// Selecting, or computing scores, with arguments that were checked.
  static func selection(_ weights: Arrays, _ gradients: Arrays? = nil) -> Int {
    SelectionMemory.bound(
      tensors: weights.count, elements: weights.elements,
      readBytes: weights.bytes + (gradients?.bytes ?? 0), leastBytes: weights.bytes)
  }

  /// What limits add to a selection, which were not checked yet: lists of tensors, and the keys and
  /// states of some output units.
  static func limits(_ limits: Limits, of weights: Arrays) -> Int {
    if let wholes = limits.wholes {
      return SelectionMemory.shared(limits, wholes, sizes: weights.sizes)
    }
    if let units = limits.units { return units.memory(sizes: weights.sizes) }
    if limits.costs != nil { return SelectionMemory.budget(sizes: weights.sizes) }
    guard let bounds = limits.bounds ?? limits.counts?.map({ _ in Bounds() }),
      bounds.count == weights.count
    else { return 0 }
    return SelectionMemory.limits(bounds, sizes: weights.sizes)
  }

  /// A count that was not checked yet: if it is out of range, nothing is allocated.
  private static func count(_ count: Int64) -> Int {
    (0...Int64(Arrays.maximumCount)).contains(count) ? Int(count) : 0
  }
}
