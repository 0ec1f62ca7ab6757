// The element loops of the network engine, as the requirements of one protocol. The loops are
// written once, in the extensions beside this file; the conformances at its end make the compiler
// emit them for Float and for Double, so that generic code of other modules reaches vector code
// through one witness call per array. What must not live here: matrix products (the engine's, from
// BLAS), checks (the caller's), and anything that allocates.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// An element type that networks can be computed in, with the loops over arrays of it.
///
/// Every loop trusts its pointers: they hold as many elements as the counts say, and arrays that
/// are written overlap no other argument unless a requirement allows it. Nothing allocates, nothing
/// keeps state, and the result depends on the arguments alone. Matrices are row-major and
/// contiguous; `columns` is the batch, the innermost dimension of every activation. (Codable is what
/// SIMDScalar's vectors demand of their elements.)
public protocol Scalar: BinaryFloatingPoint, SIMDScalar, Codable, BitwiseCopyable, Sendable {
  /// e to the power of `x`, from the platform's libm.
  static func exponential(_ x: Self) -> Self

  /// `x` in every bit, or +0 where `mask` is 0. A selection by bits and not by a branch: with a
  /// branch the loops below are not vectorised.
  static func select(_ x: Self, mask: UInt8) -> Self

  // ScalarRows.swift

  /// target[i] = Self(source[i] * factor).
  static func scale(
    _ source: UnsafePointer<Double>, by factor: Double, count: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[r, c] = values[r].
  static func broadcast(
    _ values: UnsafePointer<Self>, rows: Int, columns: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[r] = the sum of row r; with `accumulate`, that is added to target[r].
  static func sumRows(
    _ matrix: UnsafePointer<Self>, rows: Int, columns: Int, accumulate: Bool,
    into target: UnsafeMutablePointer<Self>)

  // ScalarArithmetic.swift

  /// target[i] += source[i] * factor.
  static func add(
    _ source: UnsafePointer<Self>, times factor: Self, count: Int,
    to target: UnsafeMutablePointer<Self>)

  /// target[i] = first[i] + second[i]; the target may be either of them.
  static func addArrays(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>)

  /// target[i] = source[i] * factor.
  static func multiply(
    _ source: UnsafePointer<Self>, by factor: Self, count: Int,
    into target: UnsafeMutablePointer<Self>)

  /// The sum of first[i] * second[i].
  static func dot(
    _ first: UnsafePointer<Self>, _ second: UnsafePointer<Self>, count: Int
  ) -> Self

  // ScalarNormalization.swift

  /// Mean and (biased) variance, in two passes.
  static func moments(
    _ source: UnsafePointer<Self>, count: Int
  ) -> (mean: Double, variance: Double)

  /// target[i] = (source[i] - mean) * factor + shift; the target may be the source.
  static func normalize(
    _ source: UnsafePointer<Self>, mean: Self, factor: Self, shift: Self, count: Int,
    into target: UnsafeMutablePointer<Self>)

  /// The sums of gradient[i] and of gradient[i] * (source[i] - mean).
  static func normalizationSums(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, count: Int
  ) -> (gradients: Double, products: Double)

  /// target[i] = gradient[i] * factor - ((source[i] - mean) * slope + shift); the target may be the
  /// gradient.
  static func normalizationGradient(
    _ gradient: UnsafePointer<Self>, _ source: UnsafePointer<Self>, mean: Self, factor: Self,
    slope: Self, shift: Self, count: Int, into target: UnsafeMutablePointer<Self>)

  // ScalarPooling.swift

  /// target[i] = the larger of source[i] and target[i]; NaN where either is.
  static func keepMaximum(
    _ source: UnsafePointer<Self>, count: Int, in target: UnsafeMutablePointer<Self>)

  /// Where source[i] is the maximum, target[i] gets what remains of the gradient, of which nothing
  /// remains then.
  static func passToMaximum(
    _ remaining: UnsafeMutablePointer<Self>, maximum: UnsafePointer<Self>,
    source: UnsafePointer<Self>, count: Int, to target: UnsafeMutablePointer<Self>)

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

  /// target[i] = max(source[i], 0), where NaN stays NaN.
  static func rectify(
    _ source: UnsafePointer<Self>, count: Int, into target: UnsafeMutablePointer<Self>)

  /// target[i] = gradient[i] where output[i] is not zero or less, else 0.
  static func rectifierGradient(
    _ gradient: UnsafePointer<Self>, output: UnsafePointer<Self>, count: Int,
    into target: UnsafeMutablePointer<Self>)

  // ScalarTranspose.swift

  /// target[f, s] = source[row(s), f] for s in 0 ..< count, f in 0 ..< features, where row(s) is
  /// rows[s], or s without a list of rows.
  static func gatherTransposed(
    _ source: UnsafePointer<Self>, features: Int, rows: UnsafePointer<Int64>?, count: Int,
    into target: UnsafeMutablePointer<Self>)

  // ScalarSoftmax.swift

  /// Softmax cross entropy of a (classes, columns) matrix of logits: the summed loss, and how many
  /// columns have their largest logit at the label (the first one, where several are largest).
  ///
  /// - Parameters:
  ///   - labels: one per column, each in 0 ..< classes.
  ///   - weight: what the gradient of each column is multiplied with.
  ///   - gradient: gets weight * (softmax - one-hot label), as large as the logits; or nil.
  ///   - workspace: room for 2 * columns elements; its contents are of no use to the caller.
  static func softmaxCrossEntropy(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, labels: UnsafePointer<Int64>,
    weight: Double, gradient: UnsafeMutablePointer<Self>?, workspace: UnsafeMutablePointer<Self>
  ) -> (loss: Double, correct: Int)

  // ScalarDescent.swift

  /// velocity = momentum * velocity + (gradient + weightDecay * weight), then
  /// weight = weight - learningRate * velocity; both become +0 where the mask is 0.
  ///
  /// - Parameter mask: a byte per weight, or nil where all are kept.
  static func descend(
    _ weights: UnsafeMutablePointer<Self>, velocity: UnsafeMutablePointer<Self>,
    gradient: UnsafePointer<Self>, mask: UnsafePointer<UInt8>?, count: Int,
    learningRate: Double, momentum: Double, weightDecay: Double)

  /// values[i] = +0 where mask[i] is 0; the others are not changed in any bit.
  static func clear(
    _ values: UnsafeMutablePointer<Self>, whereRemoved mask: UnsafePointer<UInt8>, count: Int)
}

// The conformances stand in this module because it alone sees the default implementations: that is
// where their specialised witnesses come from. `@specialized` on the implementations serves callers
// that know the type: they do not go through a witness, and would else run the generic loop, a call
// per element and a hundred times slower.

extension Float: Scalar {
  @inline(__always)
  public static func exponential(_ x: Float) -> Float { expf(x) }

  @inline(__always)
  public static func select(_ x: Float, mask: UInt8) -> Float {
    Float(bitPattern: x.bitPattern & (mask == 0 ? 0 : ~0))
  }
}

extension Double: Scalar {
  @inline(__always)
  public static func exponential(_ x: Double) -> Double { exp(x) }

  @inline(__always)
  public static func select(_ x: Double, mask: UInt8) -> Double {
    Double(bitPattern: x.bitPattern & (mask == 0 ? 0 : ~0))
  }
}
