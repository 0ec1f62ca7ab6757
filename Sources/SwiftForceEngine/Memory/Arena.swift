// The memory that the engine owns. Raw pointers of the engine live here and in Vector.swift alone;
// layers, losses and networks use views. What must not live here: what the memory is used for.

import CPlatform
import SwiftForceCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// One block of zeroed memory, aligned to a cache line, at the same address for its whole life.
@safe final class Arena<Element: BitwiseCopyable> {
  /// Bytes of a cache line, and of the widest vector register.
  static var alignment: Int { 64 }

  let count: Int
  private let base: UnsafeMutablePointer<Element>

  /// - Throws: `.noMemory` if the machine does not have that much.
  init(count: Int) throws(SFError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
    guard !overflow, bytes <= Int.max - Arena.alignment else {
      throw .noMemory(bytes: Int.max)
    }
    let rounded = max(bytes, 1).roundedUp(toMultipleOf: Arena.alignment)
    // A system that overcommits memory would end the process once it uses the memory.
    let total = Int(platform_memory())
    guard total == 0 || rounded <= total else { throw .noMemory(bytes: bytes) }
    guard let memory = unsafe platform_allocate(Arena.alignment, rounded) else {
      throw .noMemory(bytes: bytes)
    }
    unsafe platform_release_zeroed(memory, rounded)
    self.count = count
    unsafe base = memory.bindMemory(to: Element.self, capacity: count)
  }

  deinit { unsafe free(base) }

  /// A view of a part of the arena. It must not be used after the arena is gone.
  func vector(at offset: Int, count: Int) -> Vector<Element> {
    assert(offset >= 0 && count >= 0 && offset + count <= self.count, "outside the arena")
    return unsafe Vector(base + offset, count: count)
  }

  var all: Vector<Element> { vector(at: 0, count: count) }

  /// Sets a part to zero and gives its memory back to the system until it is used again.
  func release(at offset: Int, count: Int) {
    assert(offset >= 0 && count >= 0 && offset + count <= self.count, "outside the arena")
    unsafe platform_release_zeroed(base + offset, count * MemoryLayout<Element>.stride)
  }

  func fillWithZeros() {
    unsafe memset(base, 0, count * MemoryLayout<Element>.stride)
  }
}

extension Int {
  /// The smallest multiple of `divisor` that is not below this number, which must not be negative.
  func roundedUp(toMultipleOf divisor: Int) -> Int {
    (self + divisor - 1) / divisor * divisor
  }
}
