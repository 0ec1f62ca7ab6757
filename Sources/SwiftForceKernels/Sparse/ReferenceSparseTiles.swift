// A reference implementation of the inner loops of sparse layers, for any type, one number at a
// time. Tests use it in Double to check gradients, and compare the loops of every CPU level with
// it. Nothing that ships runs it. What must not live here: optimisations by hand.

/// What `SparseTiles` computes, for any type and with the same order of sums over a list.
public enum ReferenceSparseTiles<Element: Scalar> {
  public static var lanes: Int { 16 }
  /// One, because a point that is computed twice would be added twice.
  public static var points: Int { 1 }

  @specialized(where Element == Double)
  @unsafe public static func multiply(
    _ source: UnsafePointer<Element>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    entries: UnsafePointer<Int32>, values: UnsafePointer<Element>, starts: UnsafePointer<Int32>,
    startStride: Int, segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    bias: UnsafePointer<Element>?, accumulate: Bool, into target: UnsafeMutablePointer<Element>,
    targetOffsets: UnsafePointer<Int>, targetStride: Int
  ) {
    for channel in 0..<channels {
      let starts = unsafe starts + channel * startStride
      for t in 0..<points {
        let to = unsafe target + channel * targetStride + targetOffsets[t]
        let from = unsafe source + sourceOffsets[t]
        for l in 0..<lanes {
          var sum: Element = unsafe bias.map { unsafe $0[channel] } ?? 0
          if accumulate { unsafe sum = to[l] }
          for segment in 0..<segmentCount {
            let first = unsafe Int(starts[Int(segments[2 * segment])])
            let end = unsafe Int(starts[Int(segments[2 * segment + 1])])
            for i in first..<end { unsafe sum += values[i] * from[Int(entries[i]) * unit + l] }
          }
          unsafe to[l] = sum
        }
      }
    }
  }

  @specialized(where Element == Double)
  @unsafe public static func correlate(
    _ source: UnsafePointer<Element>, sourceOffsets: UnsafePointer<Int>, unit: Int,
    with gradient: UnsafePointer<Element>, gradientOffsets: UnsafePointer<Int>, gradientStride: Int,
    count: Int, entries: UnsafePointer<Int32>, starts: UnsafePointer<Int32>, startStride: Int,
    segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    into target: UnsafeMutablePointer<Element>
  ) {
    for channel in 0..<channels {
      let starts = unsafe starts + channel * startStride
      for segment in 0..<segmentCount {
        let first = unsafe Int(starts[Int(segments[2 * segment])])
        let end = unsafe Int(starts[Int(segments[2 * segment + 1])])
        for i in first..<end {
          var sum: Element = 0
          for t in 0..<count {
            let from = unsafe source + sourceOffsets[t] + Int(entries[i]) * unit
            let by = unsafe gradient + channel * gradientStride + gradientOffsets[t]
            for l in 0..<lanes { unsafe sum += from[l] * by[l] }
          }
          unsafe target[i] += sum
        }
      }
    }
  }

  public static var regionRows: Int { 2 }
  public static var regionColumns: Int { 3 }

  /// Whether a form of a region includes a row and a column.
  private static func isValid(_ form: Int32, _ row: Int, _ column: Int) -> Bool {
    func isValid(_ form: Int32, _ i: Int, _ count: Int) -> Bool {
      form == 0 || form == 1 && i > 0 || form == 2 && i < count - 1
    }
    return isValid(form / 3, row, regionRows) && isValid(form % 3, column, regionColumns)
  }

  @specialized(where Element == Double)
  @unsafe public static func multiplyRegion(
    _ source: UnsafePointer<Element>, rowStride: Int, columnStep: Int,
    entries: UnsafePointer<Int32>, values: UnsafePointer<Element>, starts: UnsafePointer<Int32>,
    startStride: Int, segments: UnsafePointer<Int32>, segmentCount: Int, channels: Int,
    bias: UnsafePointer<Element>?, accumulate: Bool, into target: UnsafeMutablePointer<Element>,
    targetRowStride: Int, targetColumnStride: Int, targetStride: Int
  ) {
    for place in 0..<channels * regionRows * regionColumns * lanes {
      let (rest, l) = place.quotientAndRemainder(dividingBy: lanes)
      let (rows, column) = rest.quotientAndRemainder(dividingBy: regionColumns)
      let (channel, row) = rows.quotientAndRemainder(dividingBy: regionRows)
      let starts = unsafe starts + channel * startStride
      let at =
        channel * targetStride + row * targetRowStride + column * targetColumnStride + l
      let from = unsafe source + row * rowStride + column * columnStep * lanes + l
      var sum: Element = unsafe bias.map { unsafe $0[channel] } ?? 0
      if accumulate { unsafe sum = target[at] }
      for segment in 0..<segmentCount {
        let segment = unsafe segments + 3 * segment
        guard unsafe isValid(segment[2], row, column) else { continue }
        for i in unsafe Int(starts[Int(segment[0])])..<Int(starts[Int(segment[1])]) {
          unsafe sum += values[i] * from[Int(entries[i]) * lanes]
        }
      }
      unsafe target[at] = sum
    }
  }

  @specialized(where Element == Double)
  @unsafe public static func correlateRegion(
    _ source: UnsafePointer<Element>, rowStride: Int, columnStep: Int,
    with gradient: UnsafePointer<Element>, gradientRowStride: Int, gradientColumnStride: Int,
    gradientStride: Int, firstRow: Int, firstColumn: Int, entries: UnsafePointer<Int32>,
    starts: UnsafePointer<Int32>, startStride: Int, segments: UnsafePointer<Int32>,
    segmentCount: Int, channels: Int, into target: UnsafeMutablePointer<Element>
  ) {
    for channel in 0..<channels {
      let starts = unsafe starts + channel * startStride
      for segment in 0..<segmentCount {
        let segment = unsafe segments + 3 * segment
        for i in unsafe Int(starts[Int(segment[0])])..<Int(starts[Int(segment[1])]) {
          var sum: Element = 0
          for row in firstRow..<regionRows {
            for column in firstColumn..<regionColumns where unsafe isValid(segment[2], row, column)
            {
              let from =
                unsafe source + Int(entries[i]) * lanes + row * rowStride
                + column * columnStep * lanes
              let by =
                unsafe gradient + channel * gradientStride + row * gradientRowStride
                + column * gradientColumnStride
              for l in 0..<lanes { unsafe sum += from[l] * by[l] }
            }
          }
          unsafe target[i] += sum
        }
      }
    }
  }

  public static func lanes(ofFew samples: Int) -> Int { samples < 3 ? samples : 16 }

  @specialized(where Element == Double)
  @unsafe public static func spreadFew(
    _ source: UnsafePointer<Element>, samples: Int, inputs: Int,
    into target: UnsafeMutablePointer<Element>
  ) {
    let lanes = lanes(ofFew: samples)
    for i in 0..<inputs * samples {
      unsafe target[i / samples * lanes + i % samples] = source[i]
    }
  }

  @specialized(where Element == Double)
  @unsafe public static func multiplyFew(
    _ source: UnsafePointer<Element>, samples: Int, entries: UnsafePointer<UInt16>,
    values: UnsafePointer<Element>, starts: UnsafePointer<Int32>, startStride: Int, channels: Int,
    bias: UnsafePointer<Element>?, into target: UnsafeMutablePointer<Element>
  ) {
    for place in 0..<channels * samples {
      let (channel, s) = place.quotientAndRemainder(dividingBy: samples)
      var sum: Element = unsafe bias.map { unsafe $0[channel] } ?? 0
      let end = unsafe Int(starts[(channel + 1) * startStride])
      for i in unsafe Int(starts[channel * startStride])..<end {
        unsafe sum += values[i] * source[Int(entries[i]) * lanes(ofFew: samples) + s]
      }
      unsafe target[place] = sum
    }
  }

  public static var planePieces: Int { 2 }

  @specialized(where Element == Double)
  @unsafe public static func multiplyPlane(
    _ source: UnsafePointer<Element>, unit: Int, entries: UnsafePointer<Int32>,
    values: UnsafePointer<Element>, starts: UnsafePointer<Int32>, startStride: Int, channels: Int,
    bias: UnsafePointer<Element>?, pieces: Int, into target: UnsafeMutablePointer<Element>,
    targetStride: Int, rows: Int, column: Int, width: Int, pitch: Int
  ) {
    for place in 0..<channels * pieces * 8 {
      let (channel, position) = place.quotientAndRemainder(dividingBy: pieces * 8)
      let (row, at) = (column + position).quotientAndRemainder(dividingBy: pitch)
      guard row < rows, at < width else { continue }
      var sum: Element = unsafe bias.map { unsafe $0[channel] } ?? 0
      let end = unsafe Int(starts[(channel + 1) * startStride])
      for i in unsafe Int(starts[channel * startStride])..<end {
        unsafe sum += values[i] * source[Int(entries[i]) * unit + position]
      }
      unsafe target[channel * targetStride + row * width + at] = sum
    }
  }

  @specialized(where Element == Double)
  @unsafe public static func spread(
    _ source: UnsafePointer<Element>, channels: Int, sourceStride: Int, rowStride: Int,
    columnStride: Int, rows: Int, columns: Int, lanes: Int,
    into target: UnsafeMutablePointer<Element>, targetStride: Int, head: Int, gap: Int, tail: Int
  ) {
    let pitch = columns * lanes + gap
    let end = rows > 0 ? head + rows * pitch - gap : head
    for channel in 0..<channels {
      unsafe (target + channel * targetStride).update(repeating: 0, count: end + tail)
    }
    for place in 0..<channels * rows * columns * lanes {
      let (rest, l) = place.quotientAndRemainder(dividingBy: lanes)
      let (line, column) = rest.quotientAndRemainder(dividingBy: columns)
      let (channel, row) = line.quotientAndRemainder(dividingBy: rows)
      let to = channel * targetStride + head + row * pitch + column * lanes + l
      let from = channel * sourceStride + row * rowStride + column * columnStride + l
      unsafe target[to] = source[from]
    }
  }

  @specialized(where Element == Double)
  @unsafe public static func gather(
    _ values: UnsafePointer<Element>, order: UnsafePointer<Int32>, count: Int,
    into target: UnsafeMutablePointer<Element>
  ) {
    for i in 0..<count { unsafe target[i] = values[Int(order[i])] }
  }

  @specialized(where Element == Double)
  @unsafe public static func scatter(
    _ values: UnsafePointer<Element>, order: UnsafePointer<Int32>, count: Int,
    into target: UnsafeMutablePointer<Element>
  ) {
    for i in 0..<count { unsafe target[Int(order[i])] = values[i] }
  }
}
