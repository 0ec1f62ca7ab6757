// The addresses behind views, for the modules above this one that compute with the caller's arrays
// in place. What must not live here: anything that reads or writes through them.

extension Tensor {
  /// Where the elements lie: `count` of `type`, for as long as the owner keeps them alive.
  @unsafe public var address: UnsafeRawPointer { unsafe base }
}

extension MutableTensor {
  /// Where the elements lie: `count` of `type`, for as long as the owner keeps them alive.
  @unsafe public var address: UnsafeMutableRawPointer { unsafe base }
}

extension Mask {
  /// Where the bytes lie: `count` of them, for as long as the owner keeps them alive.
  @unsafe public var address: UnsafeMutablePointer<UInt8> { unsafe base }
}
