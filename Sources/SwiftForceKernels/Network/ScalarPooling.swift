// Pooling of one channel for the samples of one block. What must not live here: the division of
// channels and blocks among threads.

/// The windows of a pool on an image, without padding. Columns and rows that do not fill a window
/// are ignored.
public struct PoolWindows: Sendable, Equatable {
  public let height: Int
  public let width: Int
  public let kernel: Int
  public let stride: Int

  public init(height: Int, width: Int, kernel: Int, stride: Int) {
    self.height = height
    self.width = width
    self.kernel = kernel
    self.stride = stride
  }

  public var rows: Int { (height - kernel) / stride + 1 }
  public var columns: Int { (width - kernel) / stride + 1 }
}

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func maxPool(
    _ source: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    if lanes == 16 {
      unsafe maxima(source, windows, 16, target)
    } else {
      unsafe maxima(source, windows, lanes, target)
    }
  }

  @inline(__always)
  private static func maxima(
    _ source: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) {
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let first = (row &* windows.width &+ column) &* windows.stride
        var largest = unsafe load(source + first &* lanes, lanes)
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let x = unsafe load(source + (first &+ i &* windows.width &+ j) &* lanes, lanes)
            largest = larger(x, largest)
          }
        }
        unsafe store(largest, lanes, to: target + (row &* windows.columns &+ column) &* lanes)
      }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func maxPoolGradient(
    _ outputGradient: UnsafePointer<Self>, output: UnsafePointer<Self>,
    source: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    unsafe target.update(repeating: 0, count: windows.height * windows.width * lanes)
    if lanes == 16 {
      unsafe passToMaxima(outputGradient, output, source, windows, 16, target)
    } else {
      unsafe passToMaxima(outputGradient, output, source, windows, lanes, target)
    }
  }

  @inline(__always)
  private static func passToMaxima(
    _ outputGradient: UnsafePointer<Self>, _ output: UnsafePointer<Self>,
    _ source: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) {
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let window = (row &* windows.columns &+ column) &* lanes
        let maximum = unsafe load(output + window, lanes)
        // What no number of the window has received yet.
        var remaining = unsafe load(outputGradient + window, lanes)
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let position = (row &* windows.width &+ column) &* windows.stride
            let at = (position &+ i &* windows.width &+ j) &* lanes
            let x = unsafe load(source + at, lanes)
            let taken = select(remaining, where: x, is: maximum)
            unsafe store(load(target + at, lanes) + taken, lanes, to: target + at)
            remaining -= taken
          }
        }
      }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func averagePool(
    _ source: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    if lanes == 16 {
      unsafe averages(source, windows, 16, target)
    } else {
      unsafe averages(source, windows, lanes, target)
    }
  }

  @inline(__always)
  private static func averages(
    _ source: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) {
    let weight = SIMD16<Self>(repeating: 1 / Self(windows.kernel * windows.kernel))
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let first = (row &* windows.width &+ column) &* windows.stride
        var sum = SIMD16<Self>()
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let at = (first &+ i &* windows.width &+ j) &* lanes
            unsafe sum += load(source + at, lanes) * weight
          }
        }
        unsafe store(sum, lanes, to: target + (row &* windows.columns &+ column) &* lanes)
      }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func averagePoolGradient(
    _ outputGradient: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    unsafe target.update(repeating: 0, count: windows.height * windows.width * lanes)
    if lanes == 16 {
      unsafe passToAll(outputGradient, windows, 16, target)
    } else {
      unsafe passToAll(outputGradient, windows, lanes, target)
    }
  }

  @inline(__always)
  private static func passToAll(
    _ outputGradient: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) {
    let weight = SIMD16<Self>(repeating: 1 / Self(windows.kernel * windows.kernel))
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let window = (row &* windows.columns &+ column) &* lanes
        let share = unsafe load(outputGradient + window, lanes) * weight
        let first = (row &* windows.width &+ column) &* windows.stride
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let at = (first &+ i &* windows.width &+ j) &* lanes
            unsafe store(load(target + at, lanes) + share, lanes, to: target + at)
          }
        }
      }
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func averagePositions(
    _ source: UnsafePointer<Self>, positions: Int, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    let weight = SIMD16<Self>(repeating: 1 / Self(positions))
    var sum = SIMD16<Self>()
    for position in 0..<positions {
      unsafe sum += load(source + position &* lanes, lanes) * weight
    }
    unsafe store(sum, lanes, to: target)
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func averagePositionsGradient(
    _ outputGradient: UnsafePointer<Self>, positions: Int, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    let weight = SIMD16<Self>(repeating: 1 / Self(positions))
    let share = unsafe load(outputGradient, lanes) * weight
    for position in 0..<positions {
      unsafe store(share, lanes, to: target + position &* lanes)
    }
  }
}
