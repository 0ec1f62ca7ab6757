// Memory regions, and the rule that an array that is written shares no memory with another. What
// must not live here: other checks of arguments.

import CSwiftForce

/// A region of the caller's memory and the argument that it belongs to.
struct Region {
  let start: UInt
  let end: UInt
  let operand: sf_operand
  let tensor: Int
  let isWritten: Bool

  /// Refuses an array that is written and overlaps another one, even in part, and weights that
  /// overlap, since they would be counted twice.
  ///
  /// - Complexity: O(m log m) for m arrays.
  static func checkDisjoint(_ lists: [Arrays?]) throws(Fault) {
    var regions: [Region] = []
    regions.reserveCapacity(lists.reduce(0) { $0 + ($1?.count ?? 0) })
    for list in lists { list?.appendRegions(to: &regions) }
    try checkDisjoint(&regions)
  }

  /// - Parameter regions: are sorted by address.
  static func checkDisjoint(_ regions: inout [Region]) throws(Fault) {
    regions.sort { $0.start < $1.start }
    var furthest: Region?
    var furthestWritten: Region?
    var furthestWeight: Region?
    for region in regions {
      let isWeight = region.operand == SF_OPERAND_WEIGHTS
      let earlier = [
        region.isWritten ? furthest : nil, furthestWritten, isWeight ? furthestWeight : nil,
      ]
      if let other = earlier.lazy.compactMap({ $0 }).first(where: { $0.end > region.start }) {
        throw region.overlaps(other)
      }
      furthest = region.further(than: furthest)
      // A region of these kinds with a later end would have been refused above.
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
