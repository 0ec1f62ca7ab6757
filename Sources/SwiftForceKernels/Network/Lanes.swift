// The vector type of convolution tiles, as wide as the registers of each CPU level, and its one
// operation. What must not live here: anything about a convolution.

#if SWIFTFORCE_V4
  /// A vector that fills one register.
  typealias Lanes = SIMD16<Float>
#elseif SWIFTFORCE_V3
  typealias Lanes = SIMD8<Float>
#else
  typealias Lanes = SIMD4<Float>
#endif

extension SIMD where Scalar == Float {
  /// self + x * factor, fused if the CPU level has an instruction for it. Without one, the fused
  /// form would be a library call for each number.
  @inline(__always)
  func adding(_ x: Self, times factor: Self) -> Self {
    #if SWIFTFORCE_V4 || SWIFTFORCE_V3 || arch(arm64)
      addingProduct(x, factor)
    #else
      self + x * factor
    #endif
  }
}

extension UnsafePointer<Float> {
  /// The vector that begins at an index; no alignment is needed.
  @inline(__always)
  func lanes(at index: Int) -> Lanes {
    unsafe UnsafeRawPointer(self + index).loadUnaligned(as: Lanes.self)
  }
}

extension UnsafeMutablePointer<Float> {
  /// The vector that begins at an index; no alignment is needed.
  @inline(__always)
  func lanes(at index: Int) -> Lanes {
    unsafe UnsafePointer(self).lanes(at: index)
  }

  @inline(__always)
  func store(_ lanes: Lanes, at index: Int) {
    unsafe UnsafeMutableRawPointer(self + index).storeBytes(of: lanes, as: Lanes.self)
  }
}
