// The rectifier (ReLU) and its gradient. What must not live here: other activation functions, which
// get files of their own.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func rectify(
    _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      let x = unsafe source[i]
      // Written so that a NaN stays NaN: it must reach the loss, which detects it.
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
