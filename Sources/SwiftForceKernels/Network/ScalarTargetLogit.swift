// Minus the label's logit as a loss, over a matrix whose first columns are samples. What must not
// live here: other losses.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func targetLogit(
    _ logits: UnsafePointer<Self>, classes: Int, columns: Int, stride: Int,
    labels: UnsafePointer<Int64>, weight: Double, gradient: UnsafeMutablePointer<Self>?,
    workspace largest: UnsafeMutablePointer<Self>
  ) -> (loss: Double, correct: Int) {
    unsafe maxima(logits, classes: classes, columns: columns, stride: stride, into: largest)
    if let gradient = unsafe gradient {
      unsafe gradient.update(repeating: 0, count: classes * stride)
    }
    var loss = 0.0
    var correct = 0
    for column in 0..<columns {
      let label = unsafe Int(labels[column])
      let z = unsafe logits[label * stride + column]
      loss -= Double(z)
      if unsafe z == largest[column]
        && !contains(z, above: label, in: logits + column, stride: stride)
      {
        correct += 1
      }
      if let gradient = unsafe gradient {
        unsafe gradient[label * stride + column] = -Self(weight)
      }
    }
    return (loss, correct)
  }
}
