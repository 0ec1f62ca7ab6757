// The rectifier and its gradient. What must not live here: other activation functions; each gets a
// file of its own.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func rectify(
    _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      let x = unsafe source[i]
      // Asked this way round, a NaN goes through: it must reach the loss, where it is seen.
      unsafe target[i] = x < 0 ? 0 : x
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func rectifierGradient(
    _ gradient: UnsafePointer<Self>, output: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      let (g, y) = unsafe (gradient[i], output[i])
      unsafe target[i] = y <= 0 ? 0 : g
    }
  }
}
