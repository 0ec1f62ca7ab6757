// Softmax cross entropy over a matrix whose first columns are samples. It proceeds row by row, so
// every loop runs along contiguous memory. What must not live here: other losses.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func softmaxCrossEntropy(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, stride: Int,
    labels: UnsafePointer<Int64>, scale: Double, weight: Double,
    gradient: UnsafeMutablePointer<Self>?, workspace: UnsafeMutablePointer<Self>
  ) -> (loss: Double, correct: Int) {
    let largest = unsafe workspace
    let factor = Self(scale)
    let sums = unsafe workspace + columns
    unsafe maxima(logits, classes: classes, columns: columns, stride: stride, into: largest)
    unsafe exponentials(
      logits, classes: classes, columns: columns, stride: stride, largest: largest, scale: factor,
      sums: sums, into: gradient)
    var loss = 0.0
    var correct = 0
    for column in 0..<columns {
      let label = unsafe Int(labels[column])
      let z = unsafe logits[label * stride + column]
      // log(sum exp(z - largest)) + (largest - z_label) of the scaled logits, in binary64, since
      // many losses are summed.
      let distance = unsafe Double(largest[column]) - Double(z)
      unsafe loss += log(Double(sums[column])) + distance * scale
      // If the sum is NaN, some logit is NaN and there is no largest one.
      let isLargest = unsafe z == largest[column] && !sums[column].isNaN
      if unsafe isLargest && !contains(z, above: label, in: logits + column, stride: stride) {
        correct += 1
      }
    }
    if let gradient = unsafe gradient {
      unsafe normalise(
        gradient, classes: classes, columns: columns, stride: stride, sums: sums,
        weight: weight * scale, labels: labels)
    }
    return (loss, correct)
  }

  /// Whether one of the rows above row `label` holds this value in the column that `logits` points
  /// to.
  @inline(__always)
  static func contains(
    _ value: Self, above label: Int, in logits: UnsafePointer<Self>, stride: Int
  ) -> Bool {
    for c in 0..<label where unsafe logits[c * stride] == value { return true }
    return false
  }

  @inline(__always)
  static func maxima(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, stride: Int,
    into largest: UnsafeMutablePointer<Self>
  ) {
    unsafe largest.update(from: logits, count: columns)
    for c in 1..<max(classes, 1) {
      let row = unsafe logits + c * stride
      for column in 0..<columns {
        let (x, y) = unsafe (row[column], largest[column])
        unsafe largest[column] = x > y ? x : y
      }
    }
  }

  /// sums[column] = the sum of exp(scale * (logit - largest)). The terms are written if `terms` is not nil.
  /// Subtracting the largest logit keeps every term in [0, 1] and the sum at 1 or more.
  @inline(__always)
  static func exponentials(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, stride: Int,
    largest: UnsafePointer<Self>, scale: Self, sums: UnsafeMutablePointer<Self>,
    into terms: UnsafeMutablePointer<Self>?
  ) {
    unsafe sums.update(repeating: 0, count: columns)
    for c in 0..<classes {
      let row = unsafe logits + c * stride
      for column in 0..<columns {
        let term = unsafe exponential((row[column] - largest[column]) * scale)
        unsafe sums[column] += term
        if let terms = unsafe terms { unsafe terms[c * stride + column] = term }
      }
    }
  }

  /// Turns the exponentials into weight * (softmax - one-hot label), and clears the remaining
  /// columns. It overwrites `sums`.
  @inline(__always)
  static func normalise(
    _ gradient: UnsafeMutablePointer<Self>, classes: Int, columns: Int, stride: Int,
    sums: UnsafeMutablePointer<Self>, weight: Double, labels: UnsafePointer<Int64>
  ) {
    let weight = Self(weight)
    for column in 0..<columns { unsafe sums[column] = weight / sums[column] }
    for c in 0..<classes {
      let row = unsafe gradient + c * stride
      for column in 0..<columns { unsafe row[column] *= sums[column] }
      unsafe (row + columns).update(repeating: 0, count: stride - columns)
    }
    for column in 0..<columns {
      unsafe gradient[Int(labels[column]) * stride + column] -= weight
    }
  }
}
