// Completeness: every function of the header has a call here that is refused, and every status has
// a call that returns it or a reason why no test can.

import CSwiftForce
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

private struct Unreadable: Error {
  let path: String
}

/// The text of swiftforce.h.
private func header() throws -> String {
  let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
  let path = root.joined(separator: "/") + "/Sources/CSwiftForce/include/swiftforce.h"
  guard let file = unsafe fopen(path, "r") else { throw Unreadable(path: path) }
  defer { unsafe _ = fclose(file) }
  var text: [UInt8] = []
  while case let byte = unsafe fgetc(file), byte != EOF { text.append(UInt8(byte)) }
  return String(decoding: text, as: UTF8.self)
}

/// A call of every exported function that is refused, and its status.
private let refusals: [(function: String, status: sf_status, call: @Sendable (Slot) -> Int32)] = [
  ("sf_abi_version", SF_NULL_POINTER, { unsafe sf_abi_version(nil, $0.pointer) }),
  ("sf_ieee", SF_NULL_POINTER, { unsafe sf_ieee(nil, nil, $0.pointer) }),
  ("sf_names", SF_NULL_POINTER, { unsafe sf_names(0, nil, 0, $0.pointer) }),
  ("sf_method", SF_NULL_POINTER, { unsafe sf_method(0, nil, $0.pointer) }),
  ("sf_keep_count", SF_NULL_POINTER, { unsafe sf_keep_count(10, 0.5, nil, $0.pointer) }),
  ("sf_schedule", SF_NULL_POINTER, { unsafe sf_schedule(0, 10, 1, 1, nil, $0.pointer) }),
  ("sf_permutation", SF_NULL_POINTER, { unsafe sf_permutation(1, 0, 0, nil, $0.pointer) }),
  ("sf_saliency", SF_UNKNOWN_NAME, { unsafe sf_saliency(-1, nil, nil, nil, 1, 0, $0.pointer) }),
  (
    "sf_select", SF_NULL_POINTER,
    { unsafe sf_select(nil, nil, 1, 1, nil, nil, nil, nil, nil, nil, $0.pointer) }
  ),
  (
    "sf_allocate", SF_NULL_POINTER,
    { unsafe sf_allocate(1, nil, nil, nil, 1, 1, nil, $0.pointer) }
  ),
  (
    "sf_bounds_range", SF_NULL_POINTER,
    { unsafe sf_bounds_range(nil, nil, 1, nil, nil, $0.pointer) }
  ),
  ("sf_scan", SF_NULL_POINTER, { unsafe sf_scan(nil, 1, nil, $0.pointer) }),
  ("sf_set_threads", SF_BAD_THREADS, { unsafe sf_set_threads(0, $0.pointer) }),
  ("sf_threads", SF_NULL_POINTER, { unsafe sf_threads(nil, $0.pointer) }),
  ("sf_cpu_levels", SF_NULL_POINTER, { unsafe sf_cpu_levels(nil, 100, $0.pointer) }),
  ("sf_saliency_reads", SF_NULL_POINTER, { unsafe sf_saliency_reads(0, nil, $0.pointer) }),
  (
    "sf_search_once", SF_NULL_POINTER, { unsafe sf_search_once(nil, nil, nil, nil, $0.pointer) }
  ),
  ("sf_search_create", SF_NULL_POINTER, { unsafe sf_search_create(nil, nil, 1, nil, $0.pointer) }),
  ("sf_search_step", SF_NULL_POINTER, { unsafe sf_search_step(1, nil, nil, nil, $0.pointer) }),
  (
    "sf_search_step_shared", SF_NULL_POINTER,
    { unsafe sf_search_step_shared(1, nil, nil, nil, nil, $0.pointer) }
  ),
  ("sf_search_state", SF_NULL_POINTER, { unsafe sf_search_state(1, nil, nil, nil, $0.pointer) }),
  (
    "sf_search_report", SF_NULL_POINTER,
    { unsafe sf_search_report(1, 1, nil, nil, 1, $0.pointer) }
  ),
  (
    "sf_search_objective", SF_NULL_POINTER,
    { unsafe sf_search_objective(1, nil, nil, nil, $0.pointer) }
  ),
  ("sf_search_release", SF_BAD_HANDLE, { unsafe sf_search_release(0, $0.pointer) }),
  (
    "sf_network_create", SF_NULL_POINTER,
    { unsafe sf_network_create(nil, 1, nil, 0, 0, nil, $0.pointer) }
  ),
  ("sf_network_sizes", SF_NULL_POINTER, { unsafe sf_network_sizes(1, nil, nil, $0.pointer) }),
  (
    "sf_network_parameters", SF_NULL_POINTER,
    { unsafe sf_network_parameters(1, nil, 0, nil, $0.pointer) }
  ),
  ("sf_network_plan", SF_NULL_POINTER, { unsafe sf_network_plan(0, nil, 0, nil, $0.pointer) }),
  ("sf_network_hold", SF_NULL_POINTER, { unsafe sf_network_hold(0, 0, nil, $0.pointer) }),
  ("sf_network_end_hold", SF_BAD_HANDLE, { unsafe sf_network_end_hold(0, 0, $0.pointer) }),
  (
    "sf_network_magnitudes", SF_NULL_POINTER,
    { unsafe sf_network_magnitudes(1, nil, 1, $0.pointer) }
  ),
  ("sf_network_remember", SF_BAD_HANDLE, { unsafe sf_network_remember(0, $0.pointer) }),
  ("sf_network_restore", SF_BAD_HANDLE, { unsafe sf_network_restore(0, $0.pointer) }),
  ("sf_network_forget", SF_BAD_HANDLE, { unsafe sf_network_forget(0, $0.pointer) }),
  ("sf_network_masks", SF_NULL_POINTER, { unsafe sf_network_masks(1, nil, 1, nil, $0.pointer) }),
  ("sf_network_apply", SF_BAD_HANDLE, { unsafe sf_network_apply(0, nil, 0, 1, $0.pointer) }),
  (
    "sf_network_gradients", SF_NULL_POINTER,
    { unsafe sf_network_gradients(1, nil, nil, 1, nil, 0, 1, 0, 1, nil, $0.pointer) }
  ),
  ("sf_network_train", SF_NULL_POINTER, { unsafe sf_network_train(1, nil, nil, nil, $0.pointer) }),
  ("sf_network_reset", SF_BAD_HANDLE, { unsafe sf_network_reset(0, $0.pointer) }),
  (
    "sf_network_evaluate", SF_NULL_POINTER,
    { unsafe sf_network_evaluate(1, nil, nil, $0.pointer) }
  ),
  ("sf_network_forward", SF_NULL_POINTER, { unsafe sf_network_forward(1, nil, nil, $0.pointer) }),
  ("sf_network_release", SF_BAD_HANDLE, { unsafe sf_network_release(0, $0.pointer) }),
  ("sf_layer_forward", SF_NULL_POINTER, { unsafe sf_layer_forward(nil, nil, $0.pointer) }),
  ("sf_layer_backward", SF_NULL_POINTER, { unsafe sf_layer_backward(nil, nil, $0.pointer) }),
  ("sf_sparse_limit", SF_NULL_POINTER, { unsafe sf_sparse_limit(nil, nil, $0.pointer) }),
  ("sf_sparse_create", SF_NULL_POINTER, { unsafe sf_sparse_create(nil, nil, nil, $0.pointer) }),
  ("sf_sparse_forward", SF_NULL_POINTER, { unsafe sf_sparse_forward(0, nil, $0.pointer) }),
  ("sf_sparse_backward", SF_NULL_POINTER, { unsafe sf_sparse_backward(0, nil, $0.pointer) }),
  ("sf_sparse_release", SF_BAD_HANDLE, { unsafe sf_sparse_release(0, $0.pointer) }),
]

@Suite struct ExportsTests {
  /// A function that is added to the header fails here until it is among the refusals above. It
  /// also needs its own tests.
  @Test func everyFunctionOfTheHeaderIsCalled() throws {
    let declared = try header().matches(of: /int32_t (sf_[a-z_]+)\(/).map { String($0.1) }
    #expect(declared.count > 20)
    #expect(declared.sorted() == refusals.map(\.function).sorted())
  }

  @Test func theRecordIsFilledAndFieldsThatDoNotApplyAreEmpty() {
    for (function, status, call) in refusals {
      let result = outcome(call)
      #expect(result.status == status, "\(function)")
      #expect(result.operand == SF_OPERAND_NONE && result.tensor == -1, "\(function)")
      // sf_set_threads reports the number of threads that it refuses.
      let count = function == "sf_set_threads" ? 0 : -1
      #expect(result.index == -1 && result.count == count && result.value == 0, "\(function)")
    }
  }

  @Test func theStatusIsTheSameWithoutARecord() {
    for (function, status, call) in refusals { #expect(call(.null) == code(status), "\(function)") }
  }

  /// A record that is misaligned is not written; the status says so, before anything else.
  @Test func aMisalignedRecordIsNotWritten() {
    for (function, _, call) in refusals {
      let record = Memory<UInt64>([UInt64](repeating: 5, count: 40), guardedBy: 6)
      #expect(call(Slot(address: record.address + 4)) == code(SF_MISALIGNED), "\(function)")
      #expect(record.isUnwritten, "\(function)")
    }
  }

  @Test func successClearsTheRecord() {
    let result = outcome { SelectCall().make($0) }
    #expect(result.isOK)
    #expect(result.operand == SF_OPERAND_NONE && result.tensor == -1)
    #expect(result.index == -1 && result.count == -1 && result.value == 0)
  }

  @Test func aCallSucceedsWithoutARecord() {
    let call = SelectCall()
    #expect(call.make(.null) == 0)
    #expect(call.masks.values == [1, 0, 0, 1, 1])
  }
}

/// The outcomes of calls that were changed.
private func step(_ mutate: (SearchStepCall) -> Void) -> Outcome {
  let call = SearchStepCall()
  mutate(call)
  return outcome { call.make($0) }
}

private func shared(_ mutate: (SharedStepCall) -> Void) -> Outcome {
  let call = SharedStepCall()
  mutate(call)
  return outcome { call.make($0) }
}

private func create(_ mutate: (SearchCreateCall) -> Void) -> Outcome {
  let call = SearchCreateCall()
  mutate(call)
  return outcome { call.make($0) }
}

private func train(_ mutate: (NetworkCall) -> Void) -> Outcome {
  let call = NetworkCall()
  mutate(call)
  return outcome { call.train($0) }
}

@Suite struct StatusTests {
  /// A call for every status.
  private static let reached: [(status: sf_status, call: @Sendable () -> Outcome)] = [
    (SF_OK, { step { _ in } }),
    (SF_NULL_POINTER, { step { $0.report.address = 0 } }),
    (SF_BAD_COUNT, { step { $0.tensors = 0 } }),
    (SF_MISALIGNED, { step { $0.report.address += 1 } }),
    (SF_OVERLAP, { step { $0.maskedList.setData(0, $0.weights.address) } }),
    (SF_UNSUPPORTED_TYPE, { step { $0.weightList.setType(0, 9) } }),
    (SF_SIZE_MISMATCH, { step { $0.weightList.setCount(0, 1) } }),
    (SF_UNKNOWN_NAME, { create { unsafe $0.options.value.method = 99 } }),
    (
      SF_BAD_SPARSITY,
      {
        let keep = Cell<Int64>(0)
        return outcome { unsafe sf_keep_count(10, 1, keep.pointer, $0.pointer) }
      }
    ),
    (SF_BAD_KEEP, { create { unsafe $0.options.value.keep = 0 } }),
    (SF_BAD_STEPS, { create { unsafe $0.options.value.steps = 0 } }),
    (
      SF_BAD_SCHEDULE,
      {
        create {
          $0.keeps.values = [1, 2]
          $0.useKeeps()
        }
      }
    ),
    (SF_NON_FINITE, { step { $0.weights.values[0] = .nan } }),
    (SF_MISSING_GRADIENTS, { step { $0.gradientList.address = 0 } }),
    (SF_SEARCH_DONE, { step { call in for _ in 0..<2 { _ = call.make(.null) } } }),
    (
      SF_MASKS_CHANGED,
      {
        step {
          _ = $0.make(.null)
          $0.masks.values[0] = 1
        }
      }
    ),
    (
      SF_BAD_BOUNDS,
      {
        let call = SelectCall()
        call.boundsAddress = call.bounds.address
        call.bounds.value.0.least = 3
        return outcome { call.make($0) }
      }
    ),
    (SF_BAD_START, { shared { $0.starts.values = [0, 0] } }),
    (SF_RANK_FAILED, { shared { $0.exchange.value.failingElsewhere = 2 } }),
    (SF_EXCHANGE_FAILED, { shared { $0.exchange.value.failing = 2 } }),
    (SF_BAD_HANDLE, { outcome { unsafe sf_search_release(0, $0.pointer) } }),
    (SF_BAD_LABEL, { train { $0.labels.values[0] = 2 } }),
    (SF_BAD_ROW, { train { $0.rows.values[0] = 4 } }),
    (
      SF_BAD_ARCHITECTURE,
      {
        let network = Cell<Int64>(0)
        let layers = NetworkCall.layers([sf_layer(relu: ())])
        return outcome { NetworkCall.create(layers, network, $0) }
      }
    ),
    (SF_BAD_THREADS, { outcome { unsafe sf_set_threads(5000, $0.pointer) } }),
    (SF_BAD_HYPERPARAMETER, { train { $0.sgd.value.momentum = -1 } }),
    (
      SF_SMALL_BUFFER,
      {
        let text = Cell<CChar>(0)
        return outcome { unsafe sf_names(0, text.pointer, 1, $0.pointer) }
      }
    ),
  ]

  /// Statuses that no test here causes, and why.
  private static let unreached: [String: String] = [
    "ARRAYS_CHANGED": "needs another thread that writes at the right time",
    "BAD_ENVIRONMENT": "a variable is read once in a process: tested from Python, in processes",
    "IN_USE": "needs a sum that uses its own search: tested from Python",
    "NO_MEMORY": "a system that overcommits memory would end the test instead of refusing",
  ]

  /// The lines X(number, NAME, ...) of the list SF_STATUSES.
  private func declared() throws -> [(number: UInt32, name: String)] {
    let text = try header()
    let list = try #require(text.firstMatch(of: /#define SF_STATUSES\(X\)(?s:.*?)\n\n/))
    return list.output.matches(of: /X\(([0-9]+), ([A-Z_]+), "/).map {
      (UInt32($0.1) ?? .max, String($0.2))
    }
  }

  @Test func everyStatusIsReachedOrHasAReason() throws {
    let declared = try declared()
    #expect(declared.map(\.number) == (0..<UInt32(declared.count)).map { $0 })
    let reached = Set(Self.reached.map(\.status.rawValue))
    #expect(reached.count == Self.reached.count)
    for (number, name) in declared {
      #expect(reached.contains(number) != (Self.unreached[name] != nil), "\(name)")
    }
    #expect(declared.count == reached.count + Self.unreached.count)
  }

  @Test func callsReturnTheirStatus() {
    for (status, call) in Self.reached { #expect(call().status == status) }
  }
}
