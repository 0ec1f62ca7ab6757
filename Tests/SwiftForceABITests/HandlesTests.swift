// Handles: invalid numbers, handles of another kind, stale handles; and use from several threads at
// once.

import CSwiftForce
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

/// Every call that takes a handle, with arguments that are otherwise valid.
private let searchCalls: [(String, @Sendable (Int64, Slot) -> Int32)] = [
  (
    "step",
    { handle, error in
      let call = SearchStepCall()
      let own = call.search
      call.search = handle
      let returned = call.make(error)
      #expect(call.isUnwritten)
      call.search = own
      return returned
    }
  ),
  (
    "state",
    { handle, error in
      let (taken, steps) = (Cell<Int64>(-1), Cell<Int64>(-1))
      let returned = unsafe sf_search_state(
        handle, taken.pointer, steps.pointer, nil, error.pointer)
      #expect(taken.isUnwritten && steps.isUnwritten)
      return returned
    }
  ),
  ("release", { handle, error in unsafe sf_search_release(handle, error.pointer) }),
]

private func onNetwork(
  _ handle: Int64, _ error: Slot, _ body: (NetworkCall) -> (Slot) -> Int32
) -> Int32 {
  let call = NetworkCall()
  let own = call.network
  call.network = handle
  let returned = body(call)(error)
  #expect(call.isUnwritten)
  call.network = own
  return returned
}

private let networkCalls: [(String, @Sendable (Int64, Slot) -> Int32)] = [
  (
    "parameters",
    { handle, error in
      let count = Cell<Int64>(-1)
      let returned = unsafe sf_network_parameters(handle, nil, 0, count.pointer, error.pointer)
      #expect(count.isUnwritten)
      return returned
    }
  ),
  (
    "sizes",
    { handle, error in
      let (features, classes) = (Cell<Int64>(-1), Cell<Int64>(-1))
      let returned = unsafe sf_network_sizes(
        handle, features.pointer, classes.pointer, error.pointer)
      #expect(features.isUnwritten && classes.isUnwritten)
      return returned
    }
  ),
  ("apply", { onNetwork($0, $1) { $0.apply } }),
  ("gradients", { onNetwork($0, $1) { $0.takeGradients } }),
  ("train", { onNetwork($0, $1) { $0.train } }),
  ("evaluate", { onNetwork($0, $1) { $0.evaluate } }),
  ("forward", { onNetwork($0, $1) { $0.forward } }),
  ("reset", { handle, error in unsafe sf_network_reset(handle, error.pointer) }),
  ("release", { handle, error in unsafe sf_network_release(handle, error.pointer) }),
]

@Suite struct HandlesTests {
  @Test func invalidHandles() {
    for handle in [0, -1, .min, .max, 1 << 40] as [Int64] {
      for (name, call) in searchCalls + networkCalls {
        #expect(outcome { call(handle, $0) }.status == SF_BAD_HANDLE, "\(name) \(handle)")
      }
    }
  }

  @Test func handlesOfTheOtherKind() {
    let search = SearchCreateCall.handle()
    let network = NetworkCall.handle()
    for (name, call) in searchCalls {
      #expect(outcome { call(network, $0) }.status == SF_BAD_HANDLE, "\(name)")
    }
    for (name, call) in networkCalls {
      #expect(outcome { call(search, $0) }.status == SF_BAD_HANDLE, "\(name)")
    }
    #expect(outcome { unsafe sf_search_release(search, $0.pointer) }.isOK)
    #expect(outcome { unsafe sf_network_release(network, $0.pointer) }.isOK)
  }

  @Test func staleHandles() {
    let search = SearchCreateCall.handle()
    let network = NetworkCall.handle()
    #expect(outcome { unsafe sf_search_release(search, $0.pointer) }.isOK)
    #expect(outcome { unsafe sf_network_release(network, $0.pointer) }.isOK)
    for (name, call) in searchCalls {
      #expect(outcome { call(search, $0) }.status == SF_BAD_HANDLE, "\(name)")
    }
    for (name, call) in networkCalls {
      #expect(outcome { call(network, $0) }.status == SF_BAD_HANDLE, "\(name)")
    }
  }

  /// Handles are not reused: a stale handle never refers to a new object.
  @Test func handlesAreNotReused() {
    var seen: Set<Int64> = []
    for _ in 0..<50 {
      for handle in [SearchCreateCall.handle(), NetworkCall.handle()] {
        #expect(handle > 0)
        #expect(seen.insert(handle).inserted)
        _ = sf_search_release(handle, nil)
        _ = sf_network_release(handle, nil)
      }
    }
  }
}

/// Runs `body` on this many threads at once and waits for all of them.
private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  final class Work {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
  }
  var threads: [pthread_t] = []
  for i in 0..<count {
    let work = unsafe Unmanaged.passRetained(Work { body(i) })
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    let failed = unsafe pthread_create(
      &thread, nil,
      { context in
        #if canImport(Darwin)
          let work = unsafe Unmanaged<Work>.fromOpaque(context).takeRetainedValue()
        #else
          guard let context = unsafe context else { return nil }
          let work = unsafe Unmanaged<Work>.fromOpaque(context).takeRetainedValue()
        #endif
        work.run()
        return nil
      }, work.toOpaque())
    #expect(failed == 0)
    #if canImport(Darwin)
      if let thread { unsafe threads.append(thread) }
    #else
      threads.append(thread)
    #endif
  }
  for thread in threads { _ = pthread_join(thread, nil) }
}

@Suite struct ThreadsTests {
  /// Sixteen threads take steps of one search of eight steps: eight succeed, the others get
  /// SF_SEARCH_DONE, and none sees an incomplete step.
  @Test func oneSearch() {
    let create = SearchCreateCall()
    create.sizes.values = [2, 3]
    let keeps = Memory<Int64>([Int64](repeating: 5, count: 8))
    unsafe create.options.value.keep = 5
    unsafe create.options.value.steps = 8
    create.useKeeps(keeps.address)
    #expect(outcome { create.make($0) }.isOK)
    let search = create.search.value
    let results = Memory<Int64>([Int64](repeating: -1, count: 16))
    let address = results.address
    onThreads(16) { i in
      let call = SearchStepCall()
      let own = call.search
      call.search = search
      call.masks.values = [1, 1, 1, 1, 1]
      unsafe UnsafeMutablePointer<Int64>(bitPattern: address)?[i] = Int64(call.make(.null))
      call.search = own
    }
    #expect(results.values.count { $0 == 0 } == 8)
    #expect(results.values.count { $0 == Int64(code(SF_SEARCH_DONE)) } == 8)
    #expect(outcome { unsafe sf_search_release(search, $0.pointer) }.isOK)
    withExtendedLifetime((keeps, results)) {}
  }

  /// Threads that create, use and release their own searches and networks do not interfere.
  @Test func differentObjects() {
    let failures = Memory<Int64>([Int64](repeating: 0, count: 8))
    let address = failures.address
    onThreads(8) { i in
      var failed: Int64 = 0
      for _ in 0..<25 {
        let step = SearchStepCall()
        if step.make(.null) != 0 || step.masks.values != [0, 1, 1, 1, 0] { failed += 1 }
        let network = NetworkCall()
        if network.train(.null) != 0 || !(network.result.value.loss > 0) { failed += 1 }
      }
      unsafe UnsafeMutablePointer<Int64>(bitPattern: address)?[i] = failed
    }
    #expect(failures.values == [Int64](repeating: 0, count: 8))
  }

  /// One network: calls are serialized, so gradients are the same on every thread while others
  /// train with a learning rate of zero. Only one release succeeds.
  @Test func oneNetwork() {
    let shared = NetworkCall()
    #expect(outcome { shared.takeGradients($0) }.isOK)
    let expected = shared.gradients.values
    let network = shared.network
    let results = Memory<Int64>([Int64](repeating: -1, count: 8))
    let address = results.address
    onThreads(8) { i in
      var good = true
      let call = NetworkCall()
      let own = call.network
      call.network = network
      call.sgd.value = sf_sgd(learning_rate: 0, momentum: 0, weight_decay: 0)
      for _ in 0..<50 {
        good = good && call.takeGradients(.null) == 0 && call.gradients.values == expected
        good = good && call.train(.null) == 0 && call.evaluate(.null) == 0
      }
      call.network = own
      unsafe UnsafeMutablePointer<Int64>(bitPattern: address)?[i] = good ? 1 : 0
    }
    #expect(results.values == [Int64](repeating: 1, count: 8))
    onThreads(8) { i in
      let released = sf_network_release(network, nil)
      unsafe UnsafeMutablePointer<Int64>(bitPattern: address)?[i] = Int64(released)
    }
    #expect(results.values.count { $0 == 0 } == 1)
    #expect(results.values.count { $0 == Int64(code(SF_BAD_HANDLE)) } == 7)
  }
}
