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
      return unsafe maxima(SixteenSamples<Self>.self, source, windows, 16, target)
    }
    for l in 0..<lanes {
      unsafe maxima(OneSample<Self>.self, source + l, windows, lanes, target + l)
    }
  }

  @inline(__always)
  private static func maxima<Group: SampleGroup>(
    _: Group.Type, _ source: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) where Group.Number == Self {
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let first = (row &* windows.width &+ column) &* windows.stride
        var largest = unsafe Group(source + first &* lanes)
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let at = (first &+ i &* windows.width &+ j) &* lanes
            largest = unsafe Group(source + at).larger(largest)
          }
        }
        unsafe largest.store(to: target + (row &* windows.columns &+ column) &* lanes)
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
      return unsafe passToMaxima(
        SixteenSamples<Self>.self, outputGradient, output, source, windows, 16, target)
    }
    for l in 0..<lanes {
      unsafe passToMaxima(
        OneSample<Self>.self, outputGradient + l, output + l, source + l, windows, lanes,
        target + l)
    }
  }

  @inline(__always)
  private static func passToMaxima<Group: SampleGroup>(
    _: Group.Type, _ outputGradient: UnsafePointer<Self>, _ output: UnsafePointer<Self>,
    _ source: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) where Group.Number == Self {
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let window = (row &* windows.columns &+ column) &* lanes
        let maximum = unsafe Group(output + window)
        // What no number of the window has received yet.
        var remaining = unsafe Group(outputGradient + window)
        let first = (row &* windows.width &+ column) &* windows.stride
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let at = (first &+ i &* windows.width &+ j) &* lanes
            let taken = unsafe remaining.select(where: Group(source + at), is: maximum)
            unsafe (Group(target + at) + taken).store(to: target + at)
            remaining = remaining - taken
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
      return unsafe averages(SixteenSamples<Self>.self, source, windows, 16, target)
    }
    for l in 0..<lanes {
      unsafe averages(OneSample<Self>.self, source + l, windows, lanes, target + l)
    }
  }

  @inline(__always)
  private static func averages<Group: SampleGroup>(
    _: Group.Type, _ source: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) where Group.Number == Self {
    let weight = 1 / Self(windows.kernel * windows.kernel)
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let first = (row &* windows.width &+ column) &* windows.stride
        var sum = Group()
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let at = (first &+ i &* windows.width &+ j) &* lanes
            sum = unsafe sum + Group(source + at) * weight
          }
        }
        unsafe sum.store(to: target + (row &* windows.columns &+ column) &* lanes)
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
      return unsafe passToAll(SixteenSamples<Self>.self, outputGradient, windows, 16, target)
    }
    for l in 0..<lanes {
      unsafe passToAll(OneSample<Self>.self, outputGradient + l, windows, lanes, target + l)
    }
  }

  @inline(__always)
  private static func passToAll<Group: SampleGroup>(
    _: Group.Type, _ outputGradient: UnsafePointer<Self>, _ windows: PoolWindows, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) where Group.Number == Self {
    let weight = 1 / Self(windows.kernel * windows.kernel)
    for row in 0..<windows.rows {
      for column in 0..<windows.columns {
        let window = (row &* windows.columns &+ column) &* lanes
        let share = unsafe Group(outputGradient + window) * weight
        let first = (row &* windows.width &+ column) &* windows.stride
        for i in 0..<windows.kernel {
          for j in 0..<windows.kernel {
            let at = (first &+ i &* windows.width &+ j) &* lanes
            unsafe (Group(target + at) + share).store(to: target + at)
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
    if lanes == 16 {
      return unsafe average(SixteenSamples<Self>.self, source, positions, 16, target)
    }
    for l in 0..<lanes {
      unsafe average(OneSample<Self>.self, source + l, positions, lanes, target + l)
    }
  }

  @inline(__always)
  private static func average<Group: SampleGroup>(
    _: Group.Type, _ source: UnsafePointer<Self>, _ positions: Int, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) where Group.Number == Self {
    let weight = 1 / Self(positions)
    var sum = Group()
    for position in 0..<positions {
      sum = unsafe sum + Group(source + position &* lanes) * weight
    }
    unsafe sum.store(to: target)
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func averagePositionsGradient(
    _ outputGradient: UnsafePointer<Self>, positions: Int, lanes: Int,
    into target: UnsafeMutablePointer<Self>
  ) {
    if lanes == 16 {
      return unsafe spread(SixteenSamples<Self>.self, outputGradient, positions, 16, target)
    }
    for l in 0..<lanes {
      unsafe spread(OneSample<Self>.self, outputGradient + l, positions, lanes, target + l)
    }
  }

  @inline(__always)
  private static func spread<Group: SampleGroup>(
    _: Group.Type, _ outputGradient: UnsafePointer<Self>, _ positions: Int, _ lanes: Int,
    _ target: UnsafeMutablePointer<Self>
  ) where Group.Number == Self {
    let share = unsafe Group(outputGradient) * (1 / Self(positions))
    for position in 0..<positions { unsafe share.store(to: target + position &* lanes) }
  }
}
