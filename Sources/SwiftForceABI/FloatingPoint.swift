// The floating-point environment of a call. What must not live here: the registers (CPlatform), and
// that of threads that a call starts (startThread of the core).

import CPlatform

/// Every call computes as IEEE 754 says by default, whatever the caller's thread has set: a library
/// may flush subnormal numbers to zero in it, or round in another direction. The caller's registers,
/// status flags included, are put back when the call ends, and during calls of the caller's
/// functions.
struct FloatingPoint {
  private let callers: platform_floating_point

  /// Runs the body of an exported function.
  static func ieee<Result>(_ body: (FloatingPoint) -> Result) -> Result {
    let state = FloatingPoint(callers: platform_use_ieee())
    defer { platform_use(state.callers) }
    return state.run(body)
  }

  /// Calls a function of the caller with the registers that the caller had.
  func ofCaller<Result>(_ body: () -> Result) -> Result {
    platform_use(callers)
    defer { _ = platform_use_ieee() }
    return body()
  }

  /// Not inlined, so that no arithmetic moves out of the part where the registers are set.
  @inline(never)
  private func run<Result>(_ body: (FloatingPoint) -> Result) -> Result { body(self) }
}
