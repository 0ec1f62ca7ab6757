// Writing a block of a mask, and of what follows from it. What must not live here: where the
// threshold comes from.

/// What happened to the weights of one block.
public struct MaskChange: Sendable {
  public var kept = 0
  public var removed = 0
  public var revived = 0

  public init() {}
}

/// Masks as bytes: 1 is kept, 0 is removed.
public enum MaskBlocks {
  /// Writes the mask of a block: 1 where the key is above `threshold`, and at the first `quota`
  /// keys that equal it.
  ///
  /// - Parameters:
  ///   - quota: how many more keys equal to the threshold may be kept; lowered by those kept here.
  ///   - mask: in: the previous mask, unless `isFirst`, when every weight was kept; out: the new.
  @unsafe public static func write(
    _ keys: UnsafePointer<UInt32>, count: Int, threshold: UInt32, quota: inout Int,
    isFirst: Bool, mask: UnsafeMutablePointer<UInt8>
  ) -> MaskChange {
    if isFirst {
      unsafe mask.update(repeating: 1, count: count)
    }
    let ties = unsafe KeyCounts.occurrences(of: threshold, in: keys, count: count)
    if ties <= quota {
      quota -= ties
      return unsafe writeMask(count, mask) { i in unsafe keys[i] >= threshold }
    }
    return unsafe writeMask(count, mask) { i in
      let key = unsafe keys[i]
      guard key == threshold && quota > 0 else { return key > threshold }
      quota -= 1
      return true
    }
  }

  /// How many weights a mask keeps.
  @unsafe public static func kept(_ mask: UnsafePointer<UInt8>, count: Int) -> Int {
    var total = 0
    for i in 0..<count {
      total &+= unsafe mask[i] == 0 ? 0 : 1
    }
    return total
  }

  /// Writes `weights[i]` where the mask keeps it and 0 elsewhere: a choice, never a product, so
  /// that nothing survives of a removed weight.
  @unsafe public static func apply(
    _ mask: UnsafePointer<UInt8>, to weights: UnsafePointer<Float>, count: Int,
    into masked: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count {
      unsafe masked[i] = mask[i] == 0 ? 0 : weights[i]
    }
  }

  @inline(__always)
  private static func writeMask(
    _ count: Int, _ mask: UnsafeMutablePointer<UInt8>, _ keeps: (Int) -> Bool
  ) -> MaskChange {
    var change = MaskChange()
    for i in 0..<count {
      let before = unsafe mask[i] == 0 ? 0 : 1
      let now = keeps(i) ? 1 : 0
      unsafe mask[i] = UInt8(truncatingIfNeeded: now)
      change.kept &+= now
      change.removed &+= before & ~now
      change.revived &+= now & ~before
    }
    return change
  }
}
