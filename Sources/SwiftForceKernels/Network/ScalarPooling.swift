// What maxima over windows need, a run of samples at a time. What must not live here: where windows
// lie, which is the engine's.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func keepMaximum(
    _ source: UnsafePointer<Self>, count: Int, in target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count {
      let (x, y) = unsafe (source[i], target[i])
      // Asked this way round, a NaN is kept and taken: it must reach the loss, where it is seen.
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
