// The rectifier (ReLU) and its gradient. What must not live here: other activation functions, which
// get files of their own.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func rectify(
    _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutablePointer<Self>
  ) {
    // The compiler's own vectors would not be used where the target is the source.
    let whole = count & ~15
    for i in Swift.stride(from: 0, to: whole, by: 16) {
      unsafe store(rectified(load(source + i)), to: target + i)
    }
    for i in whole..<count {
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
    let whole = count & ~15
    for i in Swift.stride(from: 0, to: whole, by: 16) {
      let (g, y) = unsafe (load(gradient + i), load(output + i))
      unsafe store(rectifierGradient(g, y), to: target + i)
    }
    for i in whole..<count {
      let (g, y) = unsafe (gradient[i], output[i])
      unsafe target[i] = y <= 0 ? 0 : g
    }
  }
}
