// Stretches of memory, and the rule that what is written shares none with anything else.

import CSwiftForce

/// A stretch of the caller's memory and what it is for.
struct Region {
  let start: UInt
  let end: UInt
  let operand: sf_operand
  let tensor: Int
  let isWritten: Bool

  /// Refuses arrays of which one is written while another lies, even in part, in the same place,
  /// and weights that would be counted twice.
  ///
  /// - Complexity: O(m log m) for m arrays.
  static func checkDisjoint(_ lists: [Arrays?]) throws(Fault) {
    try checkDisjoint(lists.flatMap { $0?.regions ?? [] })
  }

  static func checkDisjoint(_ given: [Region]) throws(Fault) {
    let regions = given.sorted { $0.start < $1.start }
    var furthest: Region?
    var furthestWritten: Region?
    var furthestWeight: Region?
    for region in regions {
      let isWeight = region.operand == SF_OPERAND_WEIGHTS
      let rivals = [
        region.isWritten ? furthest : nil, furthestWritten, isWeight ? furthestWeight : nil,
      ]
      if let rival = rivals.lazy.compactMap({ $0 }).first(where: { $0.end > region.start }) {
        throw region.overlaps(rival)
      }
      furthest = region.further(than: furthest)
      // One of these that reached further would have been a rival already.
      if region.isWritten { furthestWritten = region }
      if isWeight { furthestWeight = region }
    }
  }

  private func further(than other: Region?) -> Region {
    guard let other, other.end > end else { return self }
    return other
  }

  private func overlaps(_ other: Region) -> Fault {
    var fault = Fault(
      SF_OVERLAP,
      "\(Arrays.name(operand))[\(tensor)] shares memory with"
        + " \(Arrays.name(other.operand))[\(other.tensor)]",
      operand: operand, tensor: tensor)
    fault.index = other.tensor
    return fault
  }
}
