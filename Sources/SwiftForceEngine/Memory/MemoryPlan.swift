// Who may have which stretch of a memory, when each needs it for a while only. What must not live
// here: what the memory is for.

/// Places for tenants such that no two that are there at the same time overlap.
struct MemoryPlan: Sendable {
  /// Somebody who needs memory from one moment to another, both included.
  struct Tenant: Sendable, Equatable {
    let size: Int
    var first: Int
    var last: Int

    func meets(_ other: Tenant) -> Bool { first <= other.last && other.first <= last }
  }

  /// Where each tenant's memory begins, a multiple of `granule`; in their order.
  let offsets: [Int]
  /// What all of them need together.
  let count: Int

  static let granule = 16

  /// Largest first, each at the lowest place that is free for its time.
  ///
  /// - Complexity: O(n^2) for n tenants.
  init(_ tenants: [Tenant]) {
    var offsets = [Int](repeating: 0, count: tenants.count)
    var placed: [Int] = []  // by where they begin
    var count = 0
    let order = tenants.indices.sorted {
      (tenants[$1].size, $0) < (tenants[$0].size, $1)
    }
    for i in order where tenants[i].size > 0 {
      let size = tenants[i].size.roundedUp(toMultipleOf: MemoryPlan.granule)
      var start = 0
      for j in placed where tenants[j].meets(tenants[i]) {
        if offsets[j] >= start + size { break }
        let end = offsets[j] + tenants[j].size.roundedUp(toMultipleOf: MemoryPlan.granule)
        start = max(start, end)
      }
      offsets[i] = start
      count = max(count, start + size)
      let place = placed.firstIndex { offsets[$0] > start } ?? placed.count
      placed.insert(i, at: place)
    }
    self.offsets = offsets
    self.count = count
  }
}
