// Rows of channels turned into rows of samples, a square block of registers at a time. What must not
// live here: the loop over blocks, which the engine's weight gradient has.

extension ConvolutionTiles {
  /// target[l * targetStride + c] = source[c * sourceStride + l] for `lanes` c and `lanes` l.
  @unsafe public static func transpose(
    _ source: UnsafePointer<Float>, sourceStride: Int, into target: UnsafeMutablePointer<Float>,
    targetStride: Int
  ) {
    #if SWIFTFORCE_V4
      var low = unsafe Eight(source, sourceStride)
      var high = unsafe Eight(source + 8 * sourceStride, sourceStride)
      // Sixteen rows shuffled like a pack of cards: after four perfect shuffles, rows are columns.
      for _ in 0..<4 { (low, high) = low.shuffled(with: high) }
      unsafe low.store(to: target, targetStride)
      unsafe high.store(to: target + 8 * targetStride, targetStride)
    #else
      for l in 0..<lanes {
        for c in 0..<lanes {
          unsafe target[l &* targetStride &+ c] = source[c &* sourceStride &+ l]
        }
      }
    #endif
  }
}

#if SWIFTFORCE_V4
  /// Eight rows of a square block.
  private struct Eight {
    var rows: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)

    @inline(__always)
    init(_ rows: (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)) { self.rows = rows }

    @inline(__always)
    init(_ source: UnsafePointer<Float>, _ stride: Int) {
      unsafe rows = (
        source.lanes(at: 0), source.lanes(at: stride), source.lanes(at: 2 * stride),
        source.lanes(at: 3 * stride), source.lanes(at: 4 * stride), source.lanes(at: 5 * stride),
        source.lanes(at: 6 * stride), source.lanes(at: 7 * stride)
      )
    }

    @inline(__always)
    func store(to target: UnsafeMutablePointer<Float>, _ stride: Int) {
      unsafe target.store(rows.0, at: 0)
      unsafe target.store(rows.1, at: stride)
      unsafe target.store(rows.2, at: 2 * stride)
      unsafe target.store(rows.3, at: 3 * stride)
      unsafe target.store(rows.4, at: 4 * stride)
      unsafe target.store(rows.5, at: 5 * stride)
      unsafe target.store(rows.6, at: 6 * stride)
      unsafe target.store(rows.7, at: 7 * stride)
    }

    /// The numbers of both, one from each in turn.
    @inline(__always)
    func shuffled(with other: Eight) -> (Eight, Eight) {
      let (a, b) = mixed(rows.0, other.rows.0)
      let (c, d) = mixed(rows.1, other.rows.1)
      let (e, f) = mixed(rows.2, other.rows.2)
      let (g, h) = mixed(rows.3, other.rows.3)
      let (i, j) = mixed(rows.4, other.rows.4)
      let (k, l) = mixed(rows.5, other.rows.5)
      let (m, n) = mixed(rows.6, other.rows.6)
      let (o, p) = mixed(rows.7, other.rows.7)
      return (Eight((a, b, c, d, e, f, g, h)), Eight((i, j, k, l, m, n, o, p)))
    }
  }

  /// x0 y0 x1 y1 ... in two vectors.
  @inline(__always)
  private func mixed(_ x: Lanes, _ y: Lanes) -> (Lanes, Lanes) {
    var (first, second) = (Lanes(), Lanes())
    first.evenHalf = x.lowHalf
    first.oddHalf = y.lowHalf
    second.evenHalf = x.highHalf
    second.oddHalf = y.highHalf
    return (first, second)
  }
#endif
