// Which source elements each target element of a convolution is computed from, along one axis of
// the image. What must not live here: memory.

/// Targets along one axis that have the same taps: `start` + `step` * i for i in 0 ..< `count`.
struct TapClass: Sendable, Equatable {
  /// One position of the kernel. For target i it reads source `sourceStep` * (i + shift) + phase.
  struct Tap: Sendable, Equatable {
    let position: Int
    let shift: Int
    let phase: Int
  }

  let start: Int
  let step: Int
  let count: Int
  let sourceStep: Int
  let sources: Int
  let taps: [Tap]

  /// The source that a tap of target i reads; nil if that is padding.
  func source(_ i: Int, _ tap: Tap) -> Int? {
    let source = sourceStep * i + offset(tap)
    return source >= 0 && source < sources ? source : nil
  }

  /// From what a tap without shift reads to what this one reads.
  func offset(_ tap: Tap) -> Int { sourceStep * tap.shift + tap.phase }

  func target(_ i: Int) -> Int { start + step * i }

  /// The targets whose tap reads no padding.
  func targets(_ tap: Tap) -> Range<Int> {
    // Of the sources sourceStep * (i + shift) + phase, the first that is not negative, and the
    // first that is outside.
    let begin = min(count, max(0, -tap.shift))
    let end = (sources - tap.phase + sourceStep - 1) / sourceStep - tap.shift
    return begin..<max(begin, min(count, end))
  }

  /// The taps of target i that read no padding. They are contiguous in `taps`.
  func valid(_ i: Int) -> Range<Int> {
    guard let first = taps.firstIndex(where: { source(i, $0) != nil }) else { return 0..<0 }
    let end = taps[first...].firstIndex { source(i, $0) == nil } ?? taps.count
    return first..<end
  }
}

/// One axis of a convolution: the sizes of its image and kernel, and of its output.
public struct ConvolutionSide: Sendable, Equatable {
  let inputs: Int
  let kernel: Int
  let stride: Int
  let padding: Int

  /// - Parameters:
  ///   - inputs: at least `kernel` - 2 `padding`.
  ///   - padding: zeros on either side, in 0 ..< kernel.
  public init(inputs: Int, kernel: Int, stride: Int, padding: Int) {
    (self.inputs, self.kernel, self.stride, self.padding) = (inputs, kernel, stride, padding)
  }

  var outputs: Int { (inputs + 2 * padding - kernel) / stride + 1 }

  /// The taps that compute outputs from inputs. All outputs have the same taps.
  var forward: [TapClass] {
    let taps = (0..<kernel).map { position in
      let offset = position - padding
      let shift = (offset - ((offset % stride) + stride) % stride) / stride
      return TapClass.Tap(position: position, shift: shift, phase: offset - stride * shift)
    }
    return [
      TapClass(
        start: 0, step: 1, count: outputs, sourceStep: stride, sources: inputs, taps: taps)
    ]
  }

  /// The taps that compute gradients of inputs from gradients of outputs: one class for each
  /// remainder modulo the stride.
  var backward: [TapClass] {
    (0..<min(stride, inputs)).map { start in
      let taps = (0..<kernel).compactMap { position -> TapClass.Tap? in
        let offset = start + padding - position
        guard offset.isMultiple(of: stride) else { return nil }
        return TapClass.Tap(position: position, shift: offset / stride, phase: 0)
      }
      return TapClass(
        start: start, step: stride, count: (inputs - start + stride - 1) / stride, sourceStep: 1,
        sources: outputs, taps: taps)
    }
  }
}
