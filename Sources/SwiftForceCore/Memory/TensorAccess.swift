// The addresses behind views, for targets above the core that compute in place in the caller's
// arrays. What must not live here: anything that reads or writes through the addresses.

extension Tensor {
  /// The address of `count` elements of `type`; valid as long as the owner keeps them alive.
  @unsafe public var address: UnsafeRawPointer { unsafe base }
}

extension MutableTensor {
  /// The address of `count` elements of `type`; valid as long as the owner keeps them alive.
  @unsafe public var address: UnsafeMutableRawPointer { unsafe base }
}

extension Mask {
  /// The address of `count` bytes; valid as long as the owner keeps them alive.
  @unsafe public var address: UnsafeMutablePointer<UInt8> { unsafe base }
}
