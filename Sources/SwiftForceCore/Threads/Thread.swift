// Starting one thread. What must not live here: how work is distributed (Parallel, Team).

import CPlatform

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Starts a thread that runs `body`, with the floating-point environment of IEEE 754. A new thread
/// has that of its creator, unless a library intercepts it. The caller must join the thread.
///
/// - Returns: nil if the system cannot create a thread.
func startThread(_ body: @escaping () -> Void) -> pthread_t? {
  let task = unsafe Unmanaged.passRetained(ThreadTask(body))
  var thread = pthread_t()
  let status = unsafe pthread_create(
    &thread, nil,
    { context in
      guard let context = unsafe context as UnsafeMutableRawPointer? else { return nil }
      _ = platform_use_ieee()
      unsafe Unmanaged<ThreadTask>.fromOpaque(context).takeRetainedValue().body()
      return nil
    }, task.toOpaque())
  guard status == 0 else {
    unsafe task.release()
    return nil
  }
  return thread
}

/// Boxes a closure, because a thread receives a single pointer.
private final class ThreadTask {
  let body: () -> Void

  init(_ body: @escaping () -> Void) { self.body = body }
}
