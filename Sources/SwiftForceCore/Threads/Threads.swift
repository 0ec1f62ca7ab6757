// The number of threads that a call may use: a setting of the process. What must not live here: the
// threads themselves (Parallel, Team).

import CPlatform
import Synchronization

/// The number of threads that a call may use.
public enum Threads {
  /// The environment variable that sets the number.
  public static let variable = "SWIFTFORCE_NUM_THREADS"

  /// The largest number that is accepted.
  public static let maximum = 4096

  private static let chosen = Atomic<Int>(0)

  /// The number set by `set`, or else by the environment variable, or else the number of CPUs that
  /// the process may run on.
  ///
  /// - Throws: `badEnvironment` if the variable is not a number in 1 ... 4096.
  public static func current() throws(SFError) -> Int {
    let number = chosen.load(ordering: .relaxed)
    return number > 0 ? number : try initial.get()
  }

  /// Sets the number of threads for all later calls of the process.
  ///
  /// - Throws: `badThreads` unless it is in 1 ... 4096.
  public static func set(_ number: Int) throws(SFError) {
    guard number >= 1, number <= maximum else { throw .badThreads(number) }
    chosen.store(number, ordering: .relaxed)
  }

  private static let initial: Result<Int, SFError> = {
    guard let text = Environment.value(of: variable) else {
      return .success(min(maximum, Int(platform_cpu_count())))
    }
    guard let number = Int(text), number >= 1, number <= maximum else {
      return .failure(
        .badEnvironment(name: variable, value: text, expected: "a number in 1 ... \(maximum)"))
    }
    return .success(number)
  }()
}
