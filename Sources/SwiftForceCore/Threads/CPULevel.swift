// The CPU level that the loops run at: the CPU's or the user's choice, made once per process. What
// must not live here: the loops of each level (SwiftForceKernels).

import CPlatform

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// An instruction set that the loops are compiled for.
public enum CPULevel: Int, CaseIterable, Sendable, Comparable {
  case v2 = 2
  case v3 = 3
  case v4 = 4

  /// The environment variable that forces a level.
  public static let variable = "SWIFTFORCE_CPU_LEVEL"

  public static func < (lhs: CPULevel, rhs: CPULevel) -> Bool { lhs.rawValue < rhs.rawValue }

  /// `x86-64-v2` and so on; `baseline` on other architectures, which have one level only.
  public var name: String {
    #if arch(x86_64)
      "x86-64-v\(rawValue)"
    #else
      "baseline"
    #endif
  }

  /// The highest level that this CPU supports.
  public static var supported: CPULevel {
    CPULevel(rawValue: Int(platform_cpu_level())) ?? .v2
  }

  /// The levels that can be forced on this machine, lowest first.
  public static var available: [CPULevel] { allCases.filter { $0 <= supported } }

  /// The level in use: the environment variable's, or else the highest that is supported. It is
  /// determined once, when it is first needed.
  ///
  /// - Throws: `badEnvironment` if the variable does not name a level that this CPU supports.
  public static func current() throws(SFError) -> CPULevel {
    try chosen.get()
  }

  private static let chosen: Result<CPULevel, SFError> = {
    guard let text = Environment.value(of: variable) else { return .success(supported) }
    guard let level = available.first(where: { $0.name == text }) else {
      let names = available.map(\.name).joined(separator: ", ")
      return .failure(.badEnvironment(name: variable, value: text, expected: "one of \(names)"))
    }
    return .success(level)
  }()
}

/// The environment of the process.
enum Environment {
  /// The value of a variable; nil if it is not set or empty.
  static func value(of name: String) -> String? {
    guard let text = unsafe getenv(name), unsafe text.pointee != 0 else { return nil }
    return unsafe String(cString: text)
  }
}
