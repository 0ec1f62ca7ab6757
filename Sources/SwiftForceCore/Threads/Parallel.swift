// One parallel loop. Its threads are created and joined inside the call. There is no pool, so a
// fork between calls is safe. What must not live here: many short loops in a row (Team).

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A loop whose rounds are distributed dynamically: each thread takes the next round when it is
/// free.
enum Parallel {
  /// Calls `body(worker, round)` once for each round below `count`. Each worker is one thread; the
  /// caller's thread is worker 0. `body` must not write what another round reads or writes.
  static func forEach(_ count: Int, workers: Int, _ body: (_ worker: Int, _ round: Int) -> Void) {
    guard workers > 1, count > 1 else {
      for round in 0..<count { body(0, round) }
      return
    }
    withoutActuallyEscaping(body) { body in
      let work = Work(count: count, body: body)
      var threads: [pthread_t] = []
      for worker in 1..<min(workers, count) {
        // If the system has no thread left, the other workers do all rounds.
        if let thread = startThread({ work.run(worker: worker) }) { threads.append(thread) }
      }
      work.run(worker: 0)
      for thread in threads { pthread_join(thread, nil) }
    }
  }

  /// The results of `body(worker, round)` for each round below `count`, in order.
  static func map<Result>(
    _ count: Int, workers: Int, _ body: (_ worker: Int, _ round: Int) -> Result
  ) -> [Result] {
    // An empty array would set the count of the storage that all empty arrays share, a data race.
    guard count > 0 else { return [] }
    return unsafe [Result](unsafeUninitializedCapacity: count) { results, initialized in
      guard let base = results.baseAddress else { return }
      nonisolated(unsafe) let first = unsafe base
      forEach(count, workers: workers) { worker, round in
        unsafe (first + round).initialize(to: body(worker, round))
      }
      initialized = count
    }
  }

  /// The rounds that are left to do.
  private final class Work: @unchecked Sendable {
    private let count: Int
    private let body: (Int, Int) -> Void
    private let next = Atomic<Int>(0)

    init(count: Int, body: @escaping (Int, Int) -> Void) {
      self.count = count
      self.body = body
    }

    func run(worker: Int) {
      while true {
        let round = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard round < count else { return }
        body(worker, round)
      }
    }
  }
}
