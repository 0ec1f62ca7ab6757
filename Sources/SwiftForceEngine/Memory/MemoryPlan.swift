// The memory planner: places buffers that are each needed for a while only, so that they share
// memory where their lifetimes permit. What must not live here: what the buffers are for, or the
// memory itself.

/// Offsets of allocations such that no two that are live at the same time overlap.
struct MemoryPlan: Sendable {
  /// A buffer that is needed from one time to another, both included.
  struct Allocation: Sendable, Equatable {
    /// Elements.
    let size: Int
    var first: Int
    var last: Int

    func isLive(with other: Allocation) -> Bool { first <= other.last && other.first <= last }
  }

  /// Where each allocation begins, in the order given; a multiple of `alignment`.
  let offsets: [Int]
  /// Elements that all allocations need together.
  let count: Int

  /// In elements.
  static let alignment = 16

  /// Places the largest allocation first, each at the lowest offset that is free during its
  /// lifetime.
  ///
  /// - Complexity: O(n^2) for n allocations.
  init(_ allocations: [Allocation]) {
    var offsets = [Int](repeating: 0, count: allocations.count)
    var placed: [Int] = []  // by offset
    var count = 0
    let order = allocations.indices.sorted {
      (allocations[$1].size, $0) < (allocations[$0].size, $1)
    }
    for i in order where allocations[i].size > 0 {
      let size = allocations[i].size.roundedUp(toMultipleOf: MemoryPlan.alignment)
      var start = 0
      for j in placed where allocations[j].isLive(with: allocations[i]) {
        if offsets[j] >= start + size { break }
        let end = offsets[j] + allocations[j].size.roundedUp(toMultipleOf: MemoryPlan.alignment)
        start = max(start, end)
      }
      offsets[i] = start
      count = max(count, start + size)
      let position = placed.firstIndex { offsets[$0] > start } ?? placed.count
      placed.insert(i, at: position)
    }
    self.offsets = offsets
    self.count = count
  }
}
