// Conversion between two orders of weights in memory: as a network stores them, and as convolution
// tiles read and write them, with a group of channels side by side. What must not live here: the
// size of a group, which ConvolutionTiles defines.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func packRows(
    _ source: UnsafePointer<Self>, rowStride: Int, rows: Int, columns: Int, group: Int,
    into target: UnsafeMutablePointer<Self>, columnStride: Int
  ) {
    for row in 0..<group {
      if row < rows {
        let from = unsafe source + row &* rowStride
        for column in 0..<columns {
          unsafe target[column &* columnStride &+ row] = from[column]
        }
      } else {
        for column in 0..<columns { unsafe target[column &* columnStride &+ row] = 0 }
      }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func unpackRows(
    _ source: UnsafePointer<Self>, columnStride: Int, rows: Int, columns: Int, accumulate: Bool,
    into target: UnsafeMutablePointer<Self>, rowStride: Int
  ) {
    for row in 0..<rows {
      let to = unsafe target + row &* rowStride
      for column in 0..<columns {
        let value = unsafe source[column &* columnStride &+ row]
        unsafe to[column] = accumulate ? to[column] + value : value
      }
    }
  }
}
