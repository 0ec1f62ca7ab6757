// Work on several threads, which are created and joined inside a call: no pool, so nothing that a
// fork would break.

import CPlatform
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The number of threads that a call may use.
public enum Threads {
  /// The environment variable that sets it.
  public static let variable = "SWIFTFORCE_NUM_THREADS"

  /// No machine that this runs on has more.
  public static let most = 4096

  private static let chosen = Atomic<Int>(0)

  /// As set, or as the environment variable says, or else the number of CPUs that the process may
  /// run on.
  ///
  /// - Throws: `badEnvironment` if the variable is no number in 1 ... 4096.
  public static func current() throws(SFError) -> Int {
    let number = chosen.load(ordering: .relaxed)
    return number > 0 ? number : try initial.get()
  }

  /// Sets the number for all later calls of the process.
  ///
  /// - Throws: `badThreads` unless it is in 1 ... 4096.
  public static func set(_ number: Int) throws(SFError) {
    guard number >= 1, number <= most else { throw .badThreads(number) }
    chosen.store(number, ordering: .relaxed)
  }

  private static let initial: Result<Int, SFError> = {
    guard let text = Environment.value(of: variable) else {
      return .success(min(most, Int(platform_cpu_count())))
    }
    guard let number = Int(text), number >= 1, number <= most else {
      return .failure(
        .badEnvironment(name: variable, value: text, expected: "a number in 1 ... \(most)"))
    }
    return .success(number)
  }()
}

/// A loop whose rounds are shared out among threads as they become free.
enum Parallel {
  /// Calls `body(worker, round)` once for each round below `count`; each worker is one thread, and
  /// `body` must not write what another round reads or writes. The caller's thread is worker 0.
  static func forEach(_ count: Int, workers: Int, _ body: (_ worker: Int, _ round: Int) -> Void) {
    guard workers > 1, count > 1 else {
      for round in 0..<count { body(0, round) }
      return
    }
    withoutActuallyEscaping(body) { body in
      let work = Work(count: count, body: body)
      var threads: [pthread_t] = []
      for worker in 1..<min(workers, count) {
        // Where there is none, the others do its part.
        if let thread = startThread({ work.run(worker: worker) }) { threads.append(thread) }
      }
      work.run(worker: 0)
      for thread in threads { pthread_join(thread, nil) }
    }
  }

  /// What `body(worker, round)` returns for each round below `count`, in order.
  static func map<Result>(
    _ count: Int, workers: Int, _ body: (_ worker: Int, _ round: Int) -> Result
  ) -> [Result] {
    unsafe [Result](unsafeUninitializedCapacity: count) { results, initialized in
      guard let base = results.baseAddress else { return }
      nonisolated(unsafe) let first = unsafe base
      forEach(count, workers: workers) { worker, round in
        unsafe (first + round).initialize(to: body(worker, round))
      }
      initialized = count
    }
  }

  /// Rounds that are still to be done.
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

/// Starts a thread that does one thing; nil where the system has no thread to give. It must be
/// joined.
func startThread(_ body: @escaping () -> Void) -> pthread_t? {
  let task = unsafe Unmanaged.passRetained(ThreadTask(body))
  var thread = pthread_t()
  let status = unsafe pthread_create(
    &thread, nil,
    { context in
      guard let context = unsafe context as UnsafeMutableRawPointer? else { return nil }
      unsafe Unmanaged<ThreadTask>.fromOpaque(context).takeRetainedValue().body()
      return nil
    }, task.toOpaque())
  guard status == 0 else {
    unsafe task.release()
    return nil
  }
  return thread
}

/// What a thread does, behind the one pointer that it is given.
private final class ThreadTask {
  let body: () -> Void

  init(_ body: @escaping () -> Void) { self.body = body }
}
