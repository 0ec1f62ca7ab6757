// Valid calls of sf_select and sf_saliency, whose arguments a test may change, and whether their
// outputs were written. What must not live here: expected results.

import CSwiftForce

/// sf_select: scores 3 1 | 2 5 4 in two tensors, of which three are kept.
@safe final class SelectCall {
  let scores = Memory<Float>([3, 1, 2, 5, 4])
  let masks = Memory<UInt8>([7, 7, 7, 7, 7])
  let layerKept = Memory<Int64>([-1, -1])
  let report = Cell(sf_report())
  let scoreList: ArrayList
  let maskList: ArrayList
  var tensors: Int64 = 2
  var keep: Int64 = 3
  /// Of an sf_units; 0: there are none.
  var unitsAddress: UInt = 0
  /// Of one number for each tensor; 0: there are none.
  var costsAddress: UInt = 0
  var layerKeptAddress: UInt
  /// Bounds that bound nothing.
  let bounds = Cell((sf_bounds.none, sf_bounds.none))
  let counts = Memory<Int64>([1, 2])
  /// A test may set these to the bounds and the counts.
  var boundsAddress: UInt = 0
  var countsAddress: UInt = 0

  init() {
    scoreList = ArrayList(scores.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    maskList = ArrayList(masks.address, sizes: [2, 3], type: SF_TYPE_MASK)
    layerKeptAddress = layerKept.address
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_select(
        scoreList.pointer, maskList.pointer, tensors, keep,
        UnsafePointer(bitPattern: boundsAddress), UnsafePointer(bitPattern: countsAddress),
        UnsafePointer(bitPattern: unitsAddress), UnsafePointer(bitPattern: costsAddress),
        report.pointer,
        UnsafeMutablePointer(bitPattern: layerKeptAddress), error.pointer)
    }
  }

  var isUnwritten: Bool {
    scores.isUnwritten && masks.isUnwritten && layerKept.isUnwritten && report.isUnwritten
  }
}

extension sf_bounds {
  /// Bounds that every mask respects.
  static var none: sf_bounds {
    sf_bounds(
      least: 0, most: .max, outputs: 0, inner: 1, least_per_output: 0, most_per_output: .max,
      group: 0, most_per_group: .max)
  }
}

/// sf_saliency: connection sensitivity of five weights in two tensors.
@safe final class SaliencyCall {
  let weights = Memory<Float>([1, -2, 3, -4, 5])
  let gradients = Memory<Float>([1, 1, -1, 2, 0])
  let scores = Memory<Float>([-9, -9, -9, -9, -9])
  let weightList: ArrayList
  let gradientList: ArrayList
  let scoreList: ArrayList
  var saliency = number("connection_sensitivity", SF_AXIS_SALIENCY)
  var tensors: Int64 = 2

  init() {
    weightList = ArrayList(weights.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    gradientList = ArrayList(gradients.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    scoreList = ArrayList(scores.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_saliency(
        saliency, weightList.pointer, gradientList.pointer, scoreList.pointer, tensors, 5,
        error.pointer)
    }
  }

  var isUnwritten: Bool { weights.isUnwritten && gradients.isUnwritten && scores.isUnwritten }
}
