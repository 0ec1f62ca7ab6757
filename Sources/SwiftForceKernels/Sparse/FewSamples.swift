// The inner loop of a sparse linear layer for fewer samples than a point has. What must not live
// here: images (SparsePlanes.swift), and threads, which belong to the engine.

extension SparseTiles {
  /// The elements that the samples of an input take for `multiplyFew`: those of a register.
  public static func lanes(ofFew samples: Int) -> Int {
    var lanes = 1
    while lanes < samples { lanes *= 2 }
    return lanes
  }

  /// Copies inputs, samples innermost, to where each has `lanes(ofFew:)` elements. Those that belong
  /// to no sample are set to values of other samples, or to zero.
  @unsafe public static func spreadFew(
    _ source: UnsafePointer<Float>, samples: Int, inputs: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    switch lanes(ofFew: samples) {
    case 4: unsafe spread(source, samples, inputs, target, as: SIMD4<Float>.self)
    case 8: unsafe spread(source, samples, inputs, target, as: SIMD8<Float>.self)
    case 16: unsafe spread(source, samples, inputs, target, as: SIMD16<Float>.self)
    default: preconditionFailure("no loop for \(samples) samples")
    }
  }

  @inline(__always)
  private static func spread<Part: SIMD & BitwiseCopyable>(
    _ source: UnsafePointer<Float>, _ samples: Int, _ inputs: Int,
    _ target: UnsafeMutablePointer<Float>, as: Part.Type
  ) where Part.Scalar == Float {
    // The last vectors would be read behind the source.
    let whole = max(0, (inputs &* samples &- Part.scalarCount) / samples)
    for i in 0..<whole {
      let part = unsafe UnsafeRawPointer(source + i &* samples).loadUnaligned(as: Part.self)
      unsafe UnsafeMutableRawPointer(target + i &* Part.scalarCount)
        .storeBytes(of: part, as: Part.self)
    }
    for i in whole..<inputs {
      var part = Part()
      for s in 0..<samples { part[s] = unsafe source[i &* samples &+ s] }
      unsafe UnsafeMutableRawPointer(target + i &* Part.scalarCount)
        .storeBytes(of: part, as: Part.self)
    }
  }

  /// target[c * samples + s] = the bias of c plus the sum over its entries i of
  /// values[i] * source[entries[i] * lanes(ofFew: samples) + s], for each channel c and sample s.
  ///
  /// A sum is divided among up to eight that are added at the end. How depends on the number of
  /// samples alone.
  ///
  /// - Parameters:
  ///   - source: the inputs, of `lanes(ofFew:)` elements each.
  ///   - samples: 1 ... 16.
  ///   - entries: the input of each kept weight.
  ///   - starts: the first entry of each target channel, `startStride` apart, and the last one's end.
  ///   - bias: one element per target channel; nil: zeros.
  @unsafe public static func multiplyFew(
    _ source: UnsafePointer<Float>, samples: Int, entries: UnsafePointer<UInt16>,
    values: UnsafePointer<Float>, starts: UnsafePointer<Int32>, startStride: Int, channels: Int,
    bias: UnsafePointer<Float>?, into target: UnsafeMutablePointer<Float>
  ) {
    let run = unsafe FewSampleRun(
      source: source, samples: samples, entries: entries, values: values, starts: starts,
      startStride: startStride, channels: channels, bias: bias, target: target)
    switch lanes(ofFew: samples) {
    case 1: run.computeOne()
    case 2: run.compute(SIMD2<Float>.self)
    case 4: run.compute(SIMD4<Float>.self)
    case 8: run.compute(SIMD8<Float>.self)
    case 16: run.compute(SIMD16<Float>.self)
    default: preconditionFailure("no loop for \(samples) samples")
    }
  }
}

/// The arguments of `multiplyFew`.
@safe private struct FewSampleRun {
  let source: UnsafePointer<Float>
  let samples: Int
  let entries: UnsafePointer<UInt16>
  let values: UnsafePointer<Float>
  let starts: UnsafePointer<Int32>
  let startStride: Int
  let channels: Int
  let bias: UnsafePointer<Float>?
  let target: UnsafeMutablePointer<Float>

  @inline(__always)
  private func entries(of channel: Int) -> (first: Int, end: Int) {
    unsafe (
      Int(starts[channel &* startStride]), Int(starts[(channel &+ 1) &* startStride])
    )
  }

  @inline(__always)
  private func bias(of channel: Int) -> Float {
    if let bias = unsafe bias { return unsafe bias[channel] }
    return 0
  }

  // MARK: one sample

  /// Four inputs at a time become one vector: that is faster than the gathering instructions of
  /// x86-64, and than sums of single numbers.
  @inline(__always)
  func computeOne() {
    for channel in 0..<channels {
      var (i, end) = entries(of: channel)
      var (sums, second) = (SIMD4<Float>(), SIMD4<Float>())
      while i &+ 8 <= end {
        sums = sums.adding(inputs(i), times: weights(i))
        second = second.adding(inputs(i &+ 4), times: weights(i &+ 4))
        i &+= 8
      }
      if i &+ 4 <= end {
        sums = sums.adding(inputs(i), times: weights(i))
        i &+= 4
      }
      sums += second
      let halves = sums.lowHalf + sums.highHalf
      var sum = (halves[0] + halves[1]) + bias(of: channel)
      while i < end {
        unsafe sum += values[i] * source[Int(entries[i])]
        i &+= 1
      }
      unsafe target[channel] = sum
    }
  }

  /// The inputs of four entries, which are one load of eight bytes.
  @inline(__always)
  private func inputs(_ i: Int) -> SIMD4<Float> {
    let four = unsafe UnsafeRawPointer(entries + i).loadUnaligned(as: UInt64.self)
    return unsafe SIMD4(
      source[Int(four.littleEndian & 0xFFFF)], source[Int(four.littleEndian &>> 16 & 0xFFFF)],
      source[Int(four.littleEndian &>> 32 & 0xFFFF)], source[Int(four.littleEndian &>> 48)])
  }

  @inline(__always)
  private func weights(_ i: Int) -> SIMD4<Float> {
    unsafe UnsafeRawPointer(values + i).loadUnaligned(as: SIMD4<Float>.self)
  }

  // MARK: several samples

  @inline(__always)
  func compute<Sums: SIMD & BitwiseCopyable>(_: Sums.Type) where Sums.Scalar == Float {
    for channel in 0..<channels {
      // Four sums of the widest vectors do not fit into narrow registers.
      let sums: Sums =
        Sums.scalarCount <= 2 * Lanes.scalarCount ? inFour(channel) : inTwo(channel)
      let to = unsafe target + channel &* samples
      if samples == Sums.scalarCount || channel &+ 1 < channels {
        // What is written behind a channel's samples, the next channel overwrites.
        unsafe UnsafeMutableRawPointer(to).storeBytes(of: sums, as: Sums.self)
      } else {
        for s in 0..<samples { unsafe to[s] = sums[s] }
      }
    }
  }

  @inline(__always)
  private func add<Sums: SIMD & BitwiseCopyable>(_ i: Int, to sums: inout Sums)
  where Sums.Scalar == Float {
    let from = unsafe UnsafeRawPointer(source + Int(entries[i]) &* Sums.scalarCount)
    sums = unsafe sums.adding(
      from.loadUnaligned(as: Sums.self), times: Sums(repeating: values[i]))
  }

  /// Several sums in turn, so that additions wait for each other less.
  @inline(__always)
  private func inFour<Sums: SIMD & BitwiseCopyable>(_ channel: Int) -> Sums
  where Sums.Scalar == Float {
    var (i, end) = entries(of: channel)
    var (sums, second) = (Sums(repeating: bias(of: channel)), Sums())
    var (third, fourth) = (Sums(), Sums())
    while i &+ 4 <= end {
      add(i, to: &sums)
      add(i &+ 1, to: &second)
      add(i &+ 2, to: &third)
      add(i &+ 3, to: &fourth)
      i &+= 4
    }
    while i < end {
      add(i, to: &sums)
      i &+= 1
    }
    return (sums + second) + (third + fourth)
  }

  @inline(__always)
  private func inTwo<Sums: SIMD & BitwiseCopyable>(_ channel: Int) -> Sums
  where Sums.Scalar == Float {
    var (i, end) = entries(of: channel)
    var (sums, second) = (Sums(repeating: bias(of: channel)), Sums())
    while i &+ 2 <= end {
      add(i, to: &sums)
      add(i &+ 1, to: &second)
      i &+= 2
    }
    if i < end { add(i, to: &sums) }
    return sums + second
  }
}
