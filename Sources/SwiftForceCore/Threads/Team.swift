// Threads for a call that has many short loops to share out: made at its first loop, joined at its
// end. What must not live here: a single loop's threads, which Parallel makes.

import CPlatform
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A call's own threads.
///
/// Between loops they wait: first busily, because the next loop of a network is microseconds away,
/// then asleep. A team is used by one thread, and by one call: `disband` joins its threads, so no
/// thread outlives the call, and a fork between calls finds none.
public final class Team: @unchecked Sendable {
  /// How many workers there may be, the caller's thread being worker 0.
  public let workers: Int

  private let work = Work()
  private var threads: [pthread_t] = []
  private var isStarted = false

  public init(workers: Int) { self.workers = max(1, workers) }

  deinit { disband() }

  /// Calls `body(worker, round)` once for each round below `count`, as `Parallel.forEach` does.
  public func forEach(_ count: Int, _ body: (_ worker: Int, _ round: Int) -> Void) {
    guard workers > 1, count > 1 else {
      for round in 0..<count { body(0, round) }
      return
    }
    start()
    work.run(count, threads: threads.count, body)
  }

  /// Ends and joins the threads.
  public func disband() {
    guard !threads.isEmpty else { return }
    work.end()
    for thread in threads { pthread_join(thread, nil) }
    threads = []
  }

  /// Where the system has no thread to give, the others do its part.
  private func start() {
    guard !isStarted else { return }
    isStarted = true
    for worker in 1..<workers {
      // The thread keeps the work and not the team, which would never go otherwise.
      guard let thread = startThread({ [work] in work.serve(worker) }) else { return }
      threads.append(thread)
    }
  }
}

/// What a team's threads share: the loop that they are at, and the next one.
private final class Work: @unchecked Sendable {
  // Written by the caller alone, while all others wait.
  private var body: (Int, Int) -> Void = { _, _ in }
  private var count = 0

  private let next = Atomic<Int>(0)
  /// Counts loops; -1 ends the threads.
  private let loop = Atomic<Int>(0)
  private let atWork = Atomic<Int>(0)
  private let asleep = Atomic<Int>(0)
  private let door = Door()

  /// How often a waiting thread looks before it sleeps: some tens of microseconds.
  private static let looks = 2048

  /// One loop, of which the caller does its part as worker 0.
  func run(_ count: Int, threads: Int, _ body: (Int, Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      self.body = body
      self.count = count
      next.store(0, ordering: .relaxed)
      atWork.store(threads, ordering: .relaxed)
      loop.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if asleep.load(ordering: .sequentiallyConsistent) > 0 { door.open() }
      takePart(0)
      while atWork.load(ordering: .acquiring) > 0 { sched_yield() }
      self.body = { _, _ in }
    }
  }

  func end() {
    loop.store(-1, ordering: .sequentiallyConsistent)
    door.open()
  }

  private func takePart(_ worker: Int) {
    while true {
      let round = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard round < count else { return }
      body(worker, round)
    }
  }

  /// What a thread of the team does until the team is disbanded.
  func serve(_ worker: Int) {
    var seen = 0
    while true {
      seen = nextLoop(after: seen)
      guard seen >= 0 else { return }
      takePart(worker)
      atWork.wrappingSubtract(1, ordering: .releasing)
    }
  }

  private func nextLoop(after seen: Int) -> Int {
    for _ in 0..<Work.looks {
      let now = loop.load(ordering: .acquiring)
      if now != seen { return now }
      platform_pause()
    }
    asleep.wrappingAdd(1, ordering: .sequentiallyConsistent)
    defer { asleep.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    door.wait { loop.load(ordering: .sequentiallyConsistent) != seen }
    return loop.load(ordering: .acquiring)
  }
}

/// Where threads sleep until something has changed.
@safe private final class Door {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Returns when `isOpen` is true. What it reads must have been changed before `open`.
  func wait(until isOpen: () -> Bool) {
    unsafe pthread_mutex_lock(mutex)
    while !isOpen() { unsafe pthread_cond_wait(condition, mutex) }
    unsafe pthread_mutex_unlock(mutex)
  }

  func open() {
    unsafe pthread_mutex_lock(mutex)
    unsafe pthread_cond_broadcast(condition)
    unsafe pthread_mutex_unlock(mutex)
  }
}
