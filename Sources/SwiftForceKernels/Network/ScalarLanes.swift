// Sixteen numbers at a time, as vectors; and groups of samples, so that a loop is written once for
// sixteen samples and for one. What must not live here: loops.

extension Scalar {
  @inline(__always)
  static func load(_ source: UnsafePointer<Self>) -> SIMD16<Self> {
    unsafe UnsafeRawPointer(source).loadUnaligned(as: SIMD16<Self>.self)
  }

  @inline(__always)
  static func store(_ values: SIMD16<Self>, to target: UnsafeMutablePointer<Self>) {
    unsafe UnsafeMutableRawPointer(target).storeBytes(of: values, as: SIMD16<Self>.self)
  }
}

/// The numbers of some samples at one position.
protocol SampleGroup {
  associatedtype Number: Scalar

  init()
  init(_ source: UnsafePointer<Number>)

  func store(to target: UnsafeMutablePointer<Number>)

  /// The larger numbers; NaN if either is NaN.
  func larger(_ other: Self) -> Self

  /// These numbers where x equals y, and zeros.
  func select(where x: Self, is y: Self) -> Self

  static func + (left: Self, right: Self) -> Self
  static func - (left: Self, right: Self) -> Self
  static func * (left: Self, right: Number) -> Self
}

struct SixteenSamples<Number: Scalar>: SampleGroup {
  private var numbers: SIMD16<Number>

  @inline(__always)
  private init(_ numbers: SIMD16<Number>) { self.numbers = numbers }

  @inline(__always)
  init() { numbers = SIMD16() }

  @inline(__always)
  init(_ source: UnsafePointer<Number>) { unsafe numbers = Number.load(source) }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Number>) { unsafe Number.store(numbers, to: target) }

  @inline(__always)
  func larger(_ other: Self) -> Self { Self(Number.larger(numbers, other.numbers)) }

  @inline(__always)
  func select(where x: Self, is y: Self) -> Self {
    Self(Number.select(numbers, where: x.numbers, is: y.numbers))
  }

  @inline(__always)
  static func + (left: Self, right: Self) -> Self { Self(left.numbers + right.numbers) }

  @inline(__always)
  static func - (left: Self, right: Self) -> Self { Self(left.numbers - right.numbers) }

  @inline(__always)
  static func * (left: Self, right: Number) -> Self {
    Self(left.numbers * SIMD16(repeating: right))
  }
}

struct OneSample<Number: Scalar>: SampleGroup {
  private var number: Number

  @inline(__always)
  private init(_ number: Number) { self.number = number }

  @inline(__always)
  init() { number = 0 }

  @inline(__always)
  init(_ source: UnsafePointer<Number>) { unsafe number = source[0] }

  @inline(__always)
  func store(to target: UnsafeMutablePointer<Number>) { unsafe target[0] = number }

  @inline(__always)
  func larger(_ other: Self) -> Self {
    let (x, y) = (number, other.number)
    return Self(x <= y || y != y ? y : x)
  }

  @inline(__always)
  func select(where x: Self, is y: Self) -> Self { x.number == y.number ? self : Self() }

  @inline(__always)
  static func + (left: Self, right: Self) -> Self { Self(left.number + right.number) }

  @inline(__always)
  static func - (left: Self, right: Self) -> Self { Self(left.number - right.number) }

  @inline(__always)
  static func * (left: Self, right: Number) -> Self { Self(left.number * right) }
}
