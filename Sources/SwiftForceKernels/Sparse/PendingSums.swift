// Sums over sixteen samples whose lanes are still to be added up, sixteen at a time. What must not
// live here: the loops that compute them.

/// Sixteen vectors on the stack, each of which becomes one number.
@safe struct PendingSums {
  private let buffer: UnsafeMutablePointer<SixteenLanes>

  static var capacity: Int { 16 }

  /// - Parameter buffer: `capacity` vectors.
  @inline(__always)
  init(_ buffer: UnsafeMutablePointer<SixteenLanes>) {
    unsafe self.buffer = buffer
    unsafe buffer.update(repeating: SixteenLanes(), count: PendingSums.capacity)
  }

  @inline(__always)
  func set(_ index: Int, to sum: SixteenLanes) { unsafe buffer[index] = sum }

  /// The sums of the lanes of each vector. The vectors are overwritten.
  ///
  /// Four passes halve the number of vectors and double the number of sums in each. They go through
  /// memory: in registers, the compiler would exchange shuffles and additions for slower ones.
  @inline(__always)
  func totals() -> SixteenLanes {
    var half = PendingSums.capacity / 2
    while half > 0 {
      for i in 0..<half { unsafe buffer[i] = sumOfHalves(buffer[i], buffer[i &+ half]) }
      half >>= 1
    }
    return unsafe buffer[0]
  }

  /// x0 + x8, y0 + y8, x1 + x9, y1 + y9 and so on.
  @inline(__always)
  private func sumOfHalves(_ x: SixteenLanes, _ y: SixteenLanes) -> SixteenLanes {
    var (first, second) = (SixteenLanes(), SixteenLanes())
    first.evenHalf = x.lowHalf
    first.oddHalf = y.lowHalf
    second.evenHalf = x.highHalf
    second.oddHalf = y.highHalf
    return first + second
  }

  /// Adds the sums of the first `count` vectors to adjacent elements.
  @inline(__always)
  func add(_ count: Int, to target: UnsafeMutablePointer<Float>) {
    let totals = totals()
    if count == PendingSums.capacity {
      let place = UnsafeMutableRawPointer(target)
      let before = unsafe UnsafeRawPointer(place).loadUnaligned(as: SixteenLanes.self)
      unsafe place.storeBytes(of: before + totals, as: SixteenLanes.self)
    } else {
      for i in 0..<count { unsafe target[i] += totals[i] }
    }
  }
}
