// Objects that outlive a call, identified by numbers. An invalid number is refused with a status,
// while an invalid pointer would crash. What must not live here: particular objects.

import CPlatform
import CSwiftForce
import SwiftForceCore
import Synchronization

/// An object that several threads may use, one call at a time.
final class Synchronized<Object>: @unchecked Sendable {
  private let lock = Lock()
  /// The thread that holds the lock; 0 if none does.
  private let owner = Atomic<UInt>(0)
  /// The process of that thread; 0 if there is none.
  private let process = Atomic<Int32>(0)
  private var object: Object
  /// A part of the object that needs no lock.
  let unlocked: (any Sendable)?

  init(_ object: Object, unlocked: (any Sendable)?) {
    self.object = object
    self.unlocked = unlocked
  }

  /// - Throws: `SF_IN_USE` for a call that would wait for ever: from within another call, as a
  ///   callback may make; in a forked child, if another thread of the parent was in a call, which has
  ///   left the object half-changed here.
  func use(_ body: (inout Object) throws(Fault) -> Void) throws(Fault) {
    let thread = platform_thread()
    guard owner.load(ordering: .relaxed) != thread else {
      throw Fault(SF_IN_USE, "a call on the same object is under way in this thread")
    }
    let current = platform_process()
    let holder = process.load(ordering: .relaxed)
    guard holder == 0 || holder == current else {
      throw Fault(SF_IN_USE, "the process was forked during a call on the same object")
    }
    try lock.withLock { () throws(Fault) in
      owner.store(thread, ordering: .relaxed)
      process.store(current, ordering: .relaxed)
      defer {
        process.store(0, ordering: .relaxed)
        owner.store(0, ordering: .relaxed)
      }
      try body(&object)
    }
  }
}

/// The live objects of one kind.
final class Handles<Object>: @unchecked Sendable {
  private let kind: String
  private let lock = Lock()
  /// Read and written under the lock alone.
  private var objects: [Int64: Synchronized<Object>] = [:]

  init(_ kind: String) {
    self.kind = kind
  }

  /// What adding an object allocates at most, in bytes: a table that is twice as large.
  var growth: Int { lock.withLock { objects.count } * 64 }

  /// Adds an object and returns its handle.
  ///
  /// - Parameter unlocked: a part of it that needs no lock.
  func add(_ object: Object, unlocked: (any Sendable)? = nil) -> Int64 {
    let added = Synchronized(object, unlocked: unlocked)
    let handle = nextHandle.wrappingAdd(1, ordering: .relaxed).newValue
    lock.withLock { objects[handle] = added }
    return handle
  }

  /// The object of a handle. It stays alive during a call that uses it, even if another call
  /// releases it.
  subscript(handle: Int64) -> Synchronized<Object> {
    get throws(Fault) {
      guard let found = lock.withLock({ objects[handle] }) else { throw unknown(handle) }
      return found
    }
  }

  func release(_ handle: Int64) throws(Fault) {
    guard lock.withLock({ objects.removeValue(forKey: handle) }) != nil else {
      throw unknown(handle)
    }
  }

  private func unknown(_ handle: Int64) -> Fault {
    Fault(SF_BAD_HANDLE, "\(handle) is not the handle of a live \(kind)")
  }
}

/// One sequence of handles for all kinds, so that no handle is valid for two.
private let nextHandle = Atomic<Int64>(0)
