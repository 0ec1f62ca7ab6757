// Arenas: alignment, zeros, views, and sizes that fail.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct ArenaTests {
  @Test(arguments: [1, 15, 16, 17, 100_003])
  func isAlignedAndZero(count: Int) throws {
    let arena = try Arena<Float>(count: count)
    #expect(arena.values == [Float](repeating: 0, count: count))
    let address = unsafe UInt(bitPattern: arena.all.base)
    #expect(address.isMultiple(of: 64))
  }

  /// 2^40 floats are 4 TB, which a system may grant though the machine does not have them. 2^46
  /// floats are 2^48 bytes, more than a process can address. The last size overflows.
  @Test(arguments: [(1 << 40, 1 << 42), (1 << 46, 1 << 48), (Int.max / 2, Int.max)])
  func impossibleSizesAreErrors(count: Int, bytes: Int) {
    #expect(throws: SFError.noMemory(bytes: bytes)) { try Arena<Float>(count: count) }
  }

  @Test func fillsWithZerosAgain() throws {
    let arena = try Arena<Double>([1, 2, .nan])
    arena.fillWithZeros()
    #expect(areExactZeros(arena.values))
  }

  @Test func viewsStartAtTheirOffsets() throws {
    let arena = try Arena<Int64>([0, 1, 2, 3, 4, 5])
    let middle = arena.vector(at: 2, count: 3)
    #expect(middle.values == [2, 3, 4])
    #expect(middle.part(1..<3).values == [3, 4])
    middle.assign(arena.vector(at: 0, count: 3))
    #expect(arena.values == [0, 1, 0, 1, 2, 5])
  }
}
