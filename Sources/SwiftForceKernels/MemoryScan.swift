// The loop of a memory scan, which reads memory and does almost nothing with it: no loop over the
// same bytes can be faster. What must not live here: the order in which memory is read.

/// The exclusive or of 64-bit words. The result is used, so the compiler cannot drop the loads.
public enum MemoryScan {
  /// How many words are combined side by side: word i of a call goes to lane i modulo this.
  public static let laneCount = 8

  /// Combines the words from `start` on with the lanes. The bytes that the last word lacks count as
  /// zeros.
  ///
  /// - Parameters:
  ///   - start: `count` bytes of any alignment.
  ///   - lanes: `laneCount` words.
  @unsafe public static func combine(
    _ start: UnsafeRawPointer, count: Int, into lanes: UnsafeMutablePointer<UInt64>
  ) {
    var sums = unsafe (words(lanes), SIMD8<UInt64>.zero, SIMD8<UInt64>.zero, SIMD8<UInt64>.zero)
    var address = unsafe start
    let end = unsafe start + (count & ~255)
    while unsafe address < end {
      unsafe sums.0 ^= words(address)
      unsafe sums.1 ^= words(address + 64)
      unsafe sums.2 ^= words(address + 128)
      unsafe sums.3 ^= words(address + 192)
      unsafe address += 256
    }
    let total = (sums.0 ^ sums.1) ^ (sums.2 ^ sums.3)
    unsafe UnsafeMutableRawPointer(lanes).storeBytes(of: total, as: SIMD8<UInt64>.self)
    for i in 0..<(count & 255) {
      let byte = unsafe UInt64(address.load(fromByteOffset: i, as: UInt8.self))
      unsafe lanes[i / 8 % laneCount] ^= byte << UInt64(i % 8 * 8)
    }
  }

  @inline(__always)
  private static func words(_ start: UnsafeRawPointer) -> SIMD8<UInt64> {
    unsafe start.loadUnaligned(as: SIMD8<UInt64>.self)
  }
}
