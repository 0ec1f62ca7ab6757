// Valid calls of a search, whose arguments a test may change, and whether their outputs were
// written. What must not live here: expected results.

import CSwiftForce

/// sf_search_create: FORCE over tensors of two and three weights, two steps, one kept.
@safe final class SearchCreateCall {
  let sizes = Memory<Int64>([2, 3])
  let keeps = Memory<Int64>([3, 1])
  let bounds = Cell((sf_bounds.none, sf_bounds.none))
  let counts = Memory<Int64>([0, 1])
  let search = Cell<Int64>(-1)
  let options: Cell<sf_search_options>
  var sizesAddress: UInt
  var tensors: Int64 = 2

  init(momentum: Double = 0) {
    unsafe options = Cell(
      sf_search_options(
        method: number("force", SF_AXIS_METHOD), schedule: number("linear", SF_AXIS_SCHEDULE),
        saliency: -1, rule: -1, keep: 1, steps: 2, keeps: nil, seed: 0, total: 0, taken: 0,
        momentum: momentum,
        removed_factor: 1, nested_from: 0, bounds: nil, counts: nil, units: nil, costs: nil,
        wholes: nil, whole_count: 0, first_whole: 0))
    sizesAddress = sizes.address
  }

  func useKeeps(_ address: UInt? = nil) {
    unsafe options.value.keeps = UnsafePointer(bitPattern: address ?? keeps.address)
  }

  func useBounds(_ address: UInt? = nil) {
    unsafe options.value.bounds = UnsafePointer(bitPattern: address ?? bounds.address)
  }

  func useCounts(_ address: UInt? = nil) {
    unsafe options.value.counts = UnsafePointer(bitPattern: address ?? counts.address)
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe sf_search_create(
        UnsafePointer(options.pointer), UnsafePointer(bitPattern: sizesAddress), tensors,
        search.pointer, error.pointer)
    }
  }

  var isUnwritten: Bool { search.isUnwritten && sizes.isUnwritten && keeps.isUnwritten }

  /// The handle of a new search.
  static func handle(momentum: Double = 0) -> Int64 {
    let call = SearchCreateCall(momentum: momentum)
    _ = call.make(.null)
    return call.search.value
  }
}

/// sf_search_step: the first step of such a search.
@safe final class SearchStepCall {
  var search: Int64
  let weights = Memory<Float>([1, 2, 3, 4, 5])
  let gradients = Memory<Float>([5, 4, 3, 2, 1])
  /// A step starts from what `masks` holds: it is moved here first.
  let previous = Memory<UInt8>([7, 7, 7, 7, 7])
  let masks = Memory<UInt8>([7, 7, 7, 7, 7])
  let masked = Memory<Float>([-9, -9, -9, -9, -9])
  let accumulated = Memory<Float>([0, 0, 0, 0, 0])
  let layerKept = Memory<Int64>([-1, -1])
  let report = Cell(sf_report())
  let weightList: ArrayList
  let gradientList: ArrayList
  let previousList: ArrayList
  let maskList: ArrayList
  let maskedList: ArrayList
  let accumulatedList: ArrayList
  var tensors: Int64 = 2
  var layerKeptAddress: UInt
  var arraysOffset: UInt = 0
  var passesArrays = true

  init(momentum: Double = 0) {
    search = SearchCreateCall.handle(momentum: momentum)
    accumulatedList = ArrayList(accumulated.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    weightList = ArrayList(weights.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    gradientList = ArrayList(gradients.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    previousList = ArrayList(previous.address, sizes: [2, 3], type: SF_TYPE_MASK)
    maskList = ArrayList(masks.address, sizes: [2, 3], type: SF_TYPE_MASK)
    maskedList = ArrayList(masked.address, sizes: [2, 3], type: SF_TYPE_FLOAT32)
    layerKeptAddress = layerKept.address
  }

  func make(_ error: Slot) -> Int32 {
    unsafe make(error, with: { unsafe sf_search_step($0, $1, $2, $3, $4) })
  }

  /// The step with other ranks.
  @unsafe func make(_ error: Slot, ranks: UnsafePointer<sf_ranks>?) -> Int32 {
    unsafe make(error, with: { unsafe sf_search_step_shared($0, $1, ranks, $2, $3, $4) })
  }

  private func make(
    _ error: Slot,
    with step: (
      Int64, UnsafePointer<sf_step_arrays>?, UnsafeMutablePointer<sf_report>?,
      UnsafeMutablePointer<Int64>?, UnsafeMutablePointer<sf_error>?
    ) -> Int32
  ) -> Int32 {
    previous.values = masks.values
    let arrays = unsafe Cell(
      sf_step_arrays(
        weights: weightList.pointer, gradients: gradientList.pointer,
        previous: previousList.pointer, masks: maskList.pointer, masked: maskedList.pointer,
        accumulated: accumulatedList.pointer, tensors: tensors))
    unsafe arrays.address = passesArrays ? arrays.address + arraysOffset : 0
    return unsafe withExtendedLifetime((self, arrays)) {
      unsafe step(
        search, UnsafePointer(arrays.pointer), report.pointer,
        UnsafeMutablePointer(bitPattern: layerKeptAddress), error.pointer)
    }
  }

  var isUnwritten: Bool {
    weights.isUnwritten && gradients.isUnwritten && masks.isUnwritten && masked.isUnwritten
      && layerKept.isUnwritten && report.isUnwritten && accumulated.isUnwritten
  }

  /// sf_search_objective at the masks of the last step.
  @unsafe func measure(
    _ objective: Cell<Double>, _ error: Slot, ranks: UnsafePointer<sf_ranks>? = nil
  ) -> Int32 {
    let arrays = unsafe Cell(
      sf_step_arrays(
        weights: weightList.pointer, gradients: gradientList.pointer, previous: nil,
        masks: maskList.pointer, masked: nil, accumulated: nil, tensors: tensors))
    unsafe arrays.address = passesArrays ? arrays.address + arraysOffset : 0
    return unsafe withExtendedLifetime((self, arrays)) {
      unsafe sf_search_objective(
        search, UnsafePointer(arrays.pointer), ranks, objective.pointer, error.pointer)
    }
  }

  /// How many steps the search has taken.
  var taken: Int64 {
    let (taken, steps) = (Cell<Int64>(-1), Cell<Int64>(-1))
    _ = unsafe sf_search_state(search, taken.pointer, steps.pointer, nil, nil)
    return withExtendedLifetime(steps) { taken.value }
  }

  deinit { _ = sf_search_release(search, nil) }
}

/// How a substitute for the other ranks behaves, and how often it was called.
struct Exchange: BitwiseCopyable {
  var calls: Int64 = 0
  /// The call that fails; 0: none.
  var failing: Int64 = 0
  /// The call at which another rank reports that it failed; 0: none.
  var failingElsewhere: Int64 = 0
  /// The first number of the last sum: 1 if this rank reported that it failed.
  var failures: Int64 = -1
}

/// sf_search_step_shared: the same step, with other ranks that have no weights.
@safe final class SharedStepCall {
  let step = SearchStepCall()
  let exchange = Cell(Exchange())
  let starts = Memory<Int64>([0, 2])
  let ranks: Cell<sf_ranks>

  init() {
    unsafe ranks = Cell(
      sf_ranks(
        sum: { context, values, count in
          guard let exchange = unsafe context?.assumingMemoryBound(to: Exchange.self),
            let values = unsafe values, count > 0
          else { return -1 }
          unsafe exchange.pointee.calls += 1
          unsafe exchange.pointee.failures = values[0]
          if unsafe exchange.pointee.calls == exchange.pointee.failing { return 7 }
          if unsafe exchange.pointee.calls == exchange.pointee.failingElsewhere {
            unsafe values[0] += 1
          }
          return 0
        }, context: UnsafeMutableRawPointer(exchange.pointer), starts: UnsafePointer(starts.base),
        dimensions: nil, extents: nil, strides: nil))
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      unsafe step.make(error, ranks: UnsafePointer(ranks.pointer))
    }
  }
}
