// The element loops of the network engine, as the requirements of one protocol. The loops are
// written once, in extensions in the Scalar files of this folder. The conformances at the end of
// this file make the compiler emit them for Float and for Double, so that generic code of other
// modules reaches vector code through one witness call per array. What must not live here: matrix
// products (the engine calls BLAS), checks (the caller's task), and anything that allocates.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// An element type that networks can be computed in, with the loops over arrays of it.
///
/// Every loop trusts its pointers: they must point to as many elements as the counts say, and an
/// array that is written must not overlap another argument unless a requirement allows it. Nothing
/// allocates, nothing keeps state, and the result depends on the arguments alone. Matrices are
/// row-major and contiguous. Samples are the innermost dimension of every activation: `lanes` of
/// them are adjacent. (`Codable` is needed because SIMD vectors require it of their elements.)
public protocol Scalar: BinaryFloatingPoint, SIMDScalar, Codable, BitwiseCopyable, Sendable {
  /// e to the power of `x`, from the platform's libm.
  static func exponential(_ x: Self) -> Self

  /// `x` with all its bits, or +0 if `mask` is 0. It selects by bits, because the loops below are
  /// not vectorised with a branch.
  static func select(_ x: Self, mask: UInt8) -> Self

  /// The larger number of each lane; NaN if either is NaN. Comparisons of vectors are requirements,
  /// because those of generic vectors are calls for each lane.
  static func larger(_ x: SIMD16<Self>, _ y: SIMD16<Self>) -> SIMD16<Self>

  /// `x`, and zeros for negative lanes; NaN stays NaN.
  static func rectified(_ x: SIMD16<Self>) -> SIMD16<Self>

  /// The lanes of `gradient`, and zeros where those of `output` are zero or less.
  static func rectifierGradient(
    _ gradient: SIMD16<Self>, _ output: SIMD16<Self>
  ) -> SIMD16<Self>

  /// The lanes of `values` where x equals y, and zeros.
  static func select(
    _ values: SIMD16<Self>, where x: SIMD16<Self>, is y: SIMD16<Self>
  ) -> SIMD16<Self>

  // ScalarRows.swift

  /// target[i] = Self(source[i] * factor).
  static func scale(
    _ source: UnsafePointer<Double>, by factor: Double, count: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[r, c] = values[r].
  static func broadcast(
    _ values: UnsafePointer<Self>, rows: Int, columns: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[r] = the sum of row r; with `accumulate`, that is added to target[r]. Row r lies in
  /// `runs`, which begin at r * runs.length; gaps must hold zeros.
  static func sumRows(
    _ source: UnsafePointer<Self>, rows: Int, runs: ChannelRuns, accumulate: Bool,
    into target: UnsafeMutablePointer<Self>)

  // ScalarArithmetic.swift

  /// target[i] = first[i] + second[i]; the target may be either of them.
  static func addArrays(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>)

  // ScalarDepthwise.swift

  /// output += input * weights, for `count` runs of one channel. The input's columns are `step`
  /// positions apart.
  static func addTaps(
    _ input: UnsafePointer<Self>, weights: UnsafePointer<Self>, runs: UnsafePointer<TapRun>,
    count: Int, step: Int, lanes: Int, to output: UnsafeMutablePointer<Self>)

  /// input += output * weights, for the gradient of the input.
  static func addTransposedTaps(
    _ output: UnsafePointer<Self>, weights: UnsafePointer<Self>, runs: UnsafePointer<TapRun>,
    count: Int, step: Int, lanes: Int, to input: UnsafeMutablePointer<Self>)

  /// gradient[tap] += the sum of input * outputGradient over the runs of the tap.
  static func addTapProducts(
    _ input: UnsafePointer<Self>, outputGradient: UnsafePointer<Self>,
    runs: UnsafePointer<TapRun>, count: Int, step: Int, lanes: Int,
    to gradient: UnsafeMutablePointer<Self>)

  // ScalarNormalization.swift

  /// Mean and (biased) variance over all samples, in two passes.
  static func moments(
    _ source: UnsafePointer<Self>, runs: ChannelRuns
  ) -> (mean: Double, variance: Double)

  /// target[i] = (source[i] - mean) * factor + shift, and 0 where there is no sample; the target
  /// may be the source.
  ///
  /// - Parameter rectifies: whether negative results become 0; NaN stays NaN.
  static func normalize(
    _ source: UnsafePointer<Self>, mean: Self, factor: Self, shift: Self, rectifies: Bool,
    runs: ChannelRuns, into target: UnsafeMutablePointer<Self>)

  /// Normalises channels that lie `stride` apart by running statistics, as `normalize` does with
  /// scale * inverse as factor. The deviation is the root of variance + epsilon.
  ///
  /// - Parameters:
  ///   - inverse: set to 1 / deviation.
  static func normalize(
    _ source: UnsafePointer<Self>, channels: Int, stride: Int, mean: UnsafePointer<Self>,
    variance: UnsafePointer<Self>, epsilon: Double, scale: UnsafePointer<Self>,
    shift: UnsafePointer<Self>, rectifies: Bool, runs: ChannelRuns,
    inverse: UnsafeMutablePointer<Self>, into target: UnsafeMutablePointer<Self>)

  /// The sums of gradient[i] and of gradient[i] * (source[i] - mean) over all samples.
  ///
  /// - Parameter rectified: the factor and the shift of outputs that were rectified; the gradient is
  ///   then 0 where (source[i] - mean) * factor + shift is not positive.
  static func normalizationSums(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self,
    rectified: (factor: Self, shift: Self)?, runs: ChannelRuns
  ) -> (gradients: Double, products: Double)

  /// target[i] = gradient[i] * factor - ((source[i] - mean) * slope + shift), and 0 where there is
  /// no sample; the target may be the gradient.
  ///
  /// - Parameter rectified: as for the sums.
  static func normalizationGradient(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, factor: Self,
    slope: Self, shift: Self, rectified: (factor: Self, shift: Self)?, runs: ChannelRuns,
    into target: UnsafeMutablePointer<Self>)

  // ScalarPooling.swift: one channel of one block, with 1 ... 16 lanes

  /// target = the largest number of each window; NaN if any is NaN.
  static func maxPool(
    _ source: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target = the sum of the gradients of windows whose first largest number is there.
  static func maxPoolGradient(
    _ outputGradient: UnsafePointer<Self>, output: UnsafePointer<Self>,
    source: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target = the mean of each window.
  static func averagePool(
    _ source: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target = the sum of the shares of the gradients of all windows that it is in.
  static func averagePoolGradient(
    _ outputGradient: UnsafePointer<Self>, windows: PoolWindows, lanes: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[l] = the mean of source[p, l] over the positions p.
  static func averagePositions(
    _ source: UnsafePointer<Self>, positions: Int, lanes: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[p, l] = outputGradient[l] / positions.
  static func averagePositionsGradient(
    _ outputGradient: UnsafePointer<Self>, positions: Int, lanes: Int,
    into target: UnsafeMutablePointer<Self>)

  // ScalarPacking.swift

  /// target[c * columnStride + r] = source[r * rowStride + c] for `columns` c and `rows` r, and 0
  /// for the r from `rows` up to `group`.
  static func packRows(
    _ source: UnsafePointer<Self>, rowStride: Int, rows: Int, columns: Int, group: Int,
    into target: UnsafeMutablePointer<Self>, columnStride: Int)

  /// target[r * rowStride + c] (+)= source[c * columnStride + r] for `columns` c and `rows` r.
  static func unpackRows(
    _ source: UnsafePointer<Self>, columnStride: Int, rows: Int, columns: Int, accumulate: Bool,
    into target: UnsafeMutablePointer<Self>, rowStride: Int)

  // ScalarRectifier.swift

  /// target[i] = max(source[i], 0); NaN stays NaN. The target may be the source.
  static func rectify(
    _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutablePointer<Self>)

  /// target[i] = 0 if output[i] <= 0, else gradient[i]. The target may be the gradient.
  static func rectifierGradient(
    _ gradient: UnsafePointer<Self>, output: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>)

  // ScalarTranspose.swift

  /// target[f * targetStride + s] = source[row(s) * sourceStride + f] for s in 0 ..< count, f in
  /// 0 ..< features. row(s) is rows[s], or s if `rows` is nil.
  static func gatherTransposed(
    _ source: UnsafePointer<Self>, sourceStride: Int, features: Int,
    rows: UnsafePointer<Int64>?, count: Int, into target: UnsafeMutablePointer<Self>,
    targetStride: Int)

  // ScalarSoftmax.swift

  /// Softmax cross entropy of the first columns of a (classes, stride) matrix of logits: the summed
  /// loss, and how many columns have their largest logit at the label. If several logits are
  /// largest, the first counts.
  ///
  /// - Parameters:
  ///   - labels: one per column, each in 0 ..< classes.
  ///   - scale: the factor of the logits.
  ///   - weight: the factor of the gradient of each column.
  ///   - gradient: receives weight * scale * (softmax - one-hot label), of the size of the logits,
  ///     and zeros in the remaining columns; or nil.
  ///   - workspace: 2 * columns elements, overwritten.
  static func softmaxCrossEntropy(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, stride: Int,
    labels: UnsafePointer<Int64>, scale: Double, weight: Double,
    gradient: UnsafeMutablePointer<Self>?, workspace: UnsafeMutablePointer<Self>
  ) -> (loss: Double, correct: Int)

  // ScalarTargetLogit.swift

  /// The sum of minus the label's logit, and how many columns have their largest logit at the label;
  /// as `softmaxCrossEntropy`, with a gradient of -weight at the label and zeros elsewhere.
  ///
  /// - Parameter workspace: one element for each column, overwritten.
  static func targetLogit(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, stride: Int,
    labels: UnsafePointer<Int64>, weight: Double, gradient: UnsafeMutablePointer<Self>?,
    workspace: UnsafeMutablePointer<Self>
  ) -> (loss: Double, correct: Int)

  // ScalarDescent.swift

  /// velocity = momentum * velocity + (gradient + weightDecay * weight), then
  /// weight = weight - learningRate * velocity. Both become +0 where the mask is 0.
  ///
  /// - Parameter mask: a byte per weight; nil: all weights are kept.
  static func descend(
    _ weights: UnsafeMutablePointer<Self>, velocity: UnsafeMutablePointer<Self>,
    gradient: UnsafePointer<Self>, mask: UnsafePointer<UInt8>?, count: Int,
    learningRate: Double, momentum: Double, weightDecay: Double)

  /// The largest magnitude; NaN if there is a NaN, and 0 without values.
  static func largestMagnitude(_ values: UnsafePointer<Self>, count: Int) -> Self

  /// mask[i] = 1 where source[i] is not zero, else 0.
  static func markNonzero(
    _ source: UnsafePointer<Self>, count: Int, in mask: UnsafeMutablePointer<UInt8>)

  /// values[i] = +0 where mask[i] is 0. All other values keep every bit.
  static func clear(
    _ values: UnsafeMutablePointer<Self>, whereRemoved mask: UnsafePointer<UInt8>, count: Int)
}

// The conformances must be in this module, because only here can the compiler specialise the
// witnesses from the default implementations. `@specialized` on the implementations serves callers
// that know the type: they do not call through a witness, and without it they would run the generic
// loop, which makes a call per element and is a hundred times slower.

extension Float: Scalar {
  @inline(__always)
  public static func exponential(_ x: Float) -> Float { expf(x) }

  @inline(__always)
  public static func select(_ x: Float, mask: UInt8) -> Float {
    Float(bitPattern: x.bitPattern & (mask == 0 ? 0 : ~0))
  }

  @inline(__always)
  public static func larger(_ x: SIMD16<Float>, _ y: SIMD16<Float>) -> SIMD16<Float> {
    x.replacing(with: y, where: (x .<= y) .| (y .!= y))
  }

  @inline(__always)
  public static func select(
    _ values: SIMD16<Float>, where x: SIMD16<Float>, is y: SIMD16<Float>
  ) -> SIMD16<Float> {
    SIMD16<Float>().replacing(with: values, where: x .== y)
  }

  @inline(__always)
  public static func rectified(_ x: SIMD16<Float>) -> SIMD16<Float> {
    x.replacing(with: 0, where: x .< 0)
  }

  @inline(__always)
  public static func rectifierGradient(
    _ gradient: SIMD16<Float>, _ output: SIMD16<Float>
  ) -> SIMD16<Float> {
    gradient.replacing(with: 0, where: output .<= 0)
  }
}

extension Double: Scalar {
  @inline(__always)
  public static func exponential(_ x: Double) -> Double { exp(x) }

  @inline(__always)
  public static func select(_ x: Double, mask: UInt8) -> Double {
    Double(bitPattern: x.bitPattern & (mask == 0 ? 0 : ~0))
  }

  @inline(__always)
  public static func larger(_ x: SIMD16<Double>, _ y: SIMD16<Double>) -> SIMD16<Double> {
    x.replacing(with: y, where: (x .<= y) .| (y .!= y))
  }

  @inline(__always)
  public static func select(
    _ values: SIMD16<Double>, where x: SIMD16<Double>, is y: SIMD16<Double>
  ) -> SIMD16<Double> {
    SIMD16<Double>().replacing(with: values, where: x .== y)
  }

  @inline(__always)
  public static func rectified(_ x: SIMD16<Double>) -> SIMD16<Double> {
    x.replacing(with: 0, where: x .< 0)
  }

  @inline(__always)
  public static func rectifierGradient(
    _ gradient: SIMD16<Double>, _ output: SIMD16<Double>
  ) -> SIMD16<Double> {
    gradient.replacing(with: 0, where: output .<= 0)
  }
}
