// The step of stochastic gradient descent, clearing removed weights, and the largest of them. A
// removed weight is set to zero by selection and never by multiplication, since zero times infinity
// is NaN. What must not live here: checks of the hyper-parameters, which belong to the engine's
// Optimizer.

extension Scalar {
  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func descend(
    _ weights: UnsafeMutablePointer<Self>, velocity: UnsafeMutablePointer<Self>,
    gradient: UnsafePointer<Self>, mask: UnsafePointer<UInt8>?, count: Int,
    learningRate: Double, momentum: Double, weightDecay: Double
  ) {
    let (rate, inertia, decay) = (Self(learningRate), Self(momentum), Self(weightDecay))
    guard let mask = unsafe mask else {
      for i in 0..<count {
        let w = unsafe weights[i]
        let v = unsafe inertia * velocity[i] + (gradient[i] + decay * w)
        unsafe velocity[i] = v
        unsafe weights[i] = w - rate * v
      }
      return
    }
    for i in 0..<count {
      let w = unsafe weights[i]
      let v = unsafe inertia * velocity[i] + (gradient[i] + decay * w)
      unsafe velocity[i] = select(v, mask: mask[i])
      unsafe weights[i] = select(w - rate * v, mask: mask[i])
    }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func clear(
    _ values: UnsafeMutablePointer<Self>, whereRemoved mask: UnsafePointer<UInt8>, count: Int
  ) {
    for i in 0..<count { unsafe values[i] = select(values[i], mask: mask[i]) }
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func largestMagnitude(_ values: UnsafePointer<Self>, count: Int) -> Self {
    var largest: Self = 0
    for i in 0..<count {
      let magnitude = unsafe values[i].magnitude
      if magnitude.isNaN { return magnitude }
      largest = max(largest, magnitude)
    }
    return largest
  }

  @specialized(where Self == Float)
  @specialized(where Self == Double)
  public static func markNonzero(
    _ source: UnsafePointer<Self>, count: Int, in mask: UnsafeMutablePointer<UInt8>
  ) {
    for i in 0..<count { unsafe mask[i] = source[i] == 0 ? 0 : 1 }
  }
}
