// A team of threads for a call that runs many short parallel loops. It is started by the first loop
// and joined at the end of the call. What must not live here: a single loop (Parallel).

import CPlatform
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The threads of one call.
///
/// Between loops the threads first spin, because the next loop of a network is microseconds away,
/// and then sleep. A team is used by one thread and within one call. `join` ends its threads, so
/// none outlives the call, and a fork between calls is safe.
public final class Team: @unchecked Sendable {
  /// The largest number of workers. The caller's thread is worker 0.
  public let workers: Int

  private let work = Work()
  private var threads: [pthread_t] = []
  private var isStarted = false

  /// - Parameter workers: at least 1; a smaller number counts as 1.
  public init(workers: Int) { self.workers = max(1, workers) }

  deinit { join() }

  /// Calls `body(worker, round)` once for each round below `count`, as `Parallel.forEach` does.
  public func forEach(_ count: Int, _ body: (_ worker: Int, _ round: Int) -> Void) {
    guard workers > 1, count > 1 else {
      for round in 0..<count { body(0, round) }
      return
    }
    start()
    work.run(count, threads: threads.count, body)
  }

  /// Ends and joins the threads. Later loops run on the caller's thread alone.
  public func join() {
    guard !threads.isEmpty else { return }
    work.end()
    for thread in threads { pthread_join(thread, nil) }
    threads = []
  }

  /// Starts the threads. If the system cannot create all of them, the others do all rounds.
  private func start() {
    guard !isStarted else { return }
    isStarted = true
    for worker in 1..<workers {
      // The thread retains the work, not the team: a retained team would never be deinitialised.
      guard let thread = startThread({ [work] in work.serve(worker) }) else { return }
      threads.append(thread)
    }
  }
}

/// What the threads of a team share: the current loop, and the signal for the next one.
private final class Work: @unchecked Sendable {
  // Written by the caller alone, while all other threads wait.
  private var body: (Int, Int) -> Void = { _, _ in }
  private var count = 0

  private let next = Atomic<Int>(0)
  /// Counts loops; -1 ends the threads.
  private let loop = Atomic<Int>(0)
  /// Threads that have not finished the current loop.
  private let active = Atomic<Int>(0)
  private let sleeping = Atomic<Int>(0)
  private let condition = Condition()

  /// How often a waiting thread spins before it sleeps: some tens of microseconds.
  private static let spins = 2048

  /// Runs one loop. The caller takes part as worker 0.
  func run(_ count: Int, threads: Int, _ body: (Int, Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      self.body = body
      self.count = count
      next.store(0, ordering: .relaxed)
      active.store(threads, ordering: .relaxed)
      loop.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if sleeping.load(ordering: .sequentiallyConsistent) > 0 { condition.notifyAll() }
      takePart(0)
      while active.load(ordering: .acquiring) > 0 { sched_yield() }
      self.body = { _, _ in }
    }
  }

  func end() {
    loop.store(-1, ordering: .sequentiallyConsistent)
    condition.notifyAll()
  }

  /// Does rounds of the current loop until none is left.
  private func takePart(_ worker: Int) {
    while true {
      let round = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard round < count else { return }
      body(worker, round)
    }
  }

  /// The main function of a thread: takes part in every loop until the team is joined.
  func serve(_ worker: Int) {
    var seen = 0
    while true {
      seen = nextLoop(after: seen)
      guard seen >= 0 else { return }
      takePart(worker)
      active.wrappingSubtract(1, ordering: .releasing)
    }
  }

  /// Waits for the loop after `seen`, and returns its number; -1 at the end.
  private func nextLoop(after seen: Int) -> Int {
    for _ in 0..<Work.spins {
      let now = loop.load(ordering: .acquiring)
      if now != seen { return now }
      platform_pause()
    }
    sleeping.wrappingAdd(1, ordering: .sequentiallyConsistent)
    defer { sleeping.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    condition.wait { loop.load(ordering: .sequentiallyConsistent) != seen }
    return loop.load(ordering: .acquiring)
  }
}
