// Loops that add whole arrays, for sums of branches. What must not live here: anything about a
// layer.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func addArrays(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] = first[i] + second[i] }
  }
}
