// Transposition of one square block, from rows of channels to rows of samples. What must not live
// here: the loop over blocks, which belongs to the engine's weight gradient.

extension ConvolutionTiles {
  /// target[l * targetStride + c] = source[c * sourceStride + l] for `lanes` c and `lanes` l.
  @unsafe public static func transpose(
    _ source: UnsafePointer<Float>, sourceStride: Int, into target: UnsafeMutablePointer<Float>,
    targetStride: Int
  ) {
    #if SWIFTFORCE_V4
      var low = unsafe EightLanes(source, sourceStride)
      var high = unsafe EightLanes(source + 8 * sourceStride, sourceStride)
      // Four interleavings of the two halves transpose sixteen rows of sixteen numbers.
      for _ in 0..<4 { (low, high) = low.interleaved(with: high) }
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
  /// Eight of the sixteen rows of a square block.
  private struct EightLanes {
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

    /// The numbers of both, alternating.
    @inline(__always)
    func interleaved(with other: EightLanes) -> (EightLanes, EightLanes) {
      let (a, b) = interleave(rows.0, other.rows.0)
      let (c, d) = interleave(rows.1, other.rows.1)
      let (e, f) = interleave(rows.2, other.rows.2)
      let (g, h) = interleave(rows.3, other.rows.3)
      let (i, j) = interleave(rows.4, other.rows.4)
      let (k, l) = interleave(rows.5, other.rows.5)
      let (m, n) = interleave(rows.6, other.rows.6)
      let (o, p) = interleave(rows.7, other.rows.7)
      return (EightLanes((a, b, c, d, e, f, g, h)), EightLanes((i, j, k, l, m, n, o, p)))
    }
  }

  /// x0 y0 x1 y1 ... in two vectors.
  @inline(__always)
  private func interleave(_ x: Lanes, _ y: Lanes) -> (Lanes, Lanes) {
    var (first, second) = (Lanes(), Lanes())
    first.evenHalf = x.lowHalf
    first.oddHalf = y.lowHalf
    second.evenHalf = x.highHalf
    second.oddHalf = y.highHalf
    return (first, second)
  }
#endif
