// Loops between the rows of a matrix and one value per row, for biases and their gradients, the
// conversion that fills new weights. What must not live here: anything about a layer.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func scale(
    _ source: UnsafePointer<Double>, by factor: Double, count: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for i in 0..<count { unsafe target[i] = Self(source[i] * factor) }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func broadcast(
    _ values: UnsafePointer<Self>, rows: Int, columns: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    for row in 0..<rows {
      unsafe (target + row * columns).update(repeating: values[row], count: columns)
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func sumRows(
    _ source: UnsafePointer<Self>, rows: Int, runs: ChannelRuns, accumulate: Bool,
    into target: UnsafeMutablePointer<Self>
  ) {
    for row in 0..<rows {
      let sum = unsafe Self(sum(source + row * runs.length, runs, squaresFrom: nil))
      unsafe target[row] = accumulate ? target[row] + sum : sum
    }
  }
}
