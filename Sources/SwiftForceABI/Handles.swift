// Objects that outlive a call, by number. A number that is not that of a live object is a status,
// where a wild pointer would be a crash.

import CPlatform
import CSwiftForce
import Synchronization

/// An object that calls from several threads take turns with.
final class Shared<Object>: @unchecked Sendable {
  private let turn = Mutex(())
  /// The thread whose turn it is; 0 where it is nobody's.
  private let user = Atomic<UInt>(0)
  private var object: Object

  init(_ object: Object) {
    self.object = object
  }

  /// - Throws: `SF_IN_USE` for a call from within another, as a callback may make: it could not wait.
  func use(_ body: (inout Object) throws(Fault) -> Void) throws(Fault) {
    let thread = platform_thread()
    guard user.load(ordering: .relaxed) != thread else {
      throw Fault(SF_IN_USE, "a call on the same object is under way in this thread")
    }
    try turn.withLock { (_) throws(Fault) in
      user.store(thread, ordering: .relaxed)
      defer { user.store(0, ordering: .relaxed) }
      try body(&object)
    }
  }
}

/// The live objects of one kind.
final class Handles<Object>: Sendable {
  private let kind: String
  private let objects = Mutex<[Int64: Shared<Object>]>([:])

  init(_ kind: String) {
    self.kind = kind
  }

  /// Takes an object in and returns its handle.
  func add(_ object: Object) -> Int64 {
    let shared = Shared(object)
    let handle = nextHandle.wrappingAdd(1, ordering: .relaxed).newValue
    objects.withLock { $0[handle] = shared }
    return handle
  }

  /// The object of a handle. It lives on through a call that uses it, even if another releases it.
  subscript(handle: Int64) -> Shared<Object> {
    get throws(Fault) {
      guard let shared = objects.withLock({ $0[handle] }) else { throw unknown(handle) }
      return shared
    }
  }

  func release(_ handle: Int64) throws(Fault) {
    guard objects.withLock({ $0.removeValue(forKey: handle) }) != nil else {
      throw unknown(handle)
    }
  }

  private func unknown(_ handle: Int64) -> Fault {
    Fault(SF_BAD_HANDLE, "\(handle) is not the handle of a live \(kind)")
  }
}

/// One sequence for all kinds, so that no handle is valid for two.
private let nextHandle = Atomic<Int64>(0)
