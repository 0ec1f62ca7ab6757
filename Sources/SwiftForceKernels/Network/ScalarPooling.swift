// The loops of max pooling, over one contiguous run of samples. What must not live here: where
// windows lie, which belongs to the engine.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func keepMaximum(
    _ source: UnsafePointer<Self>, count: Int, in target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      let (x, y) = unsafe (source[i], target[i])
      // Written so that a NaN on either side is the result: it must reach the loss, which detects
      // it.
      unsafe target[i] = x <= y || y != y ? y : x
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func passToMaximum(
    _ remaining: UnsafeMutablePointer<Self>, maximum: UnsafePointer<Self>,
    source: UnsafePointer<Self>, count: Int, to target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      let taken = unsafe source[i] == maximum[i] ? remaining[i] : 0
      unsafe target[i] += taken
      unsafe remaining[i] -= taken
    }
  }
}
