// Reading memory and doing next to nothing with it: the time that no loop over the same bytes can go
// below. What must not live here: the order in which memory is gone through.

/// The loop of reading: the exclusive or of 64-bit words, since a reading whose outcome nobody could
/// ask for would not take place.
public enum Reading {
  /// How many words are combined side by side; word i of a call goes to lane i modulo this.
  public static let laneCount = 8

  /// Combines the words from `start` on with the lanes. Bytes that are missing from the last word
  /// count as zeros behind the others.
  ///
  /// - Parameters:
  ///   - start: `count` bytes; of any alignment.
  ///   - lanes: `laneCount` words.
  @unsafe public static func combine(
    _ start: UnsafeRawPointer, count: Int, into lanes: UnsafeMutablePointer<UInt64>
  ) {
    var sums = unsafe (words(lanes), SIMD8<UInt64>.zero, SIMD8<UInt64>.zero, SIMD8<UInt64>.zero)
    var place = unsafe start
    let end = unsafe start + (count & ~255)
    while unsafe place < end {
      unsafe sums.0 ^= words(place)
      unsafe sums.1 ^= words(place + 64)
      unsafe sums.2 ^= words(place + 128)
      unsafe sums.3 ^= words(place + 192)
      unsafe place += 256
    }
    let total = (sums.0 ^ sums.1) ^ (sums.2 ^ sums.3)
    unsafe UnsafeMutableRawPointer(lanes).storeBytes(of: total, as: SIMD8<UInt64>.self)
    for i in 0..<(count & 255) {
      let byte = unsafe UInt64(place.load(fromByteOffset: i, as: UInt8.self))
      unsafe lanes[i / 8 % laneCount] ^= byte << UInt64(i % 8 * 8)
    }
  }

  @inline(__always)
  private static func words(_ start: UnsafeRawPointer) -> SIMD8<UInt64> {
    unsafe start.loadUnaligned(as: SIMD8<UInt64>.self)
  }
}
