// Ranks as threads of the test, whose sums are barriers. What must not live here: expectations.

@testable import SwiftForceCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Ranks that run concurrently and sum the arrays that they pass.
final class RankGroup: @unchecked Sendable {
  let count: Int
  private let lock = Lock()
  /// Read and written under the lock alone.
  private var state = State()

  private struct State {
    var arrived = 0
    var sums: [Int64] = []
    /// How many sums are complete.
    var formed = 0
    /// The last complete sum.
    var last: [Int64] = []
    var lengths: [Int] = []
  }

  init(_ count: Int) {
    self.count = count
  }

  /// The number of elements of each complete sum.
  var lengths: [Int] { lock.withLock { state.lengths } }

  /// The connection of one rank to the others.
  func ranks(starts: [Int]) -> Ranks { ranks(starts.map { Placement(start: $0) }) }

  func ranks(_ placements: [Placement], arePieces: Bool = false) -> Ranks {
    Ranks(placements, arePieces: arePieces) { (numbers: inout [Int64]) throws(SFError) in
      guard let sums = self.sum(numbers) else { throw .exchangeFailed }
      numbers = sums
    }
  }

  /// The sum over all ranks; nil if lengths differ or another rank does not take part in time.
  private func sum(_ numbers: [Int64]) -> [Int64]? {
    let turn: Int? = lock.withLock {
      if state.arrived == 0 { state.sums = [Int64](repeating: 0, count: numbers.count) }
      guard state.sums.count == numbers.count else { return nil }
      for (i, number) in numbers.enumerated() { state.sums[i] += number }
      state.arrived += 1
      let turn = state.formed
      if state.arrived == count {
        state.arrived = 0
        state.formed += 1
        state.last = state.sums
        state.lengths.append(numbers.count)
      }
      return turn
    }
    guard let turn else { return nil }
    for _ in 0..<200_000 {
      // The next sum cannot complete before this rank has read this one.
      let sums = lock.withLock { state.formed > turn ? state.last : nil }
      if let sums { return sums }
      usleep(100)
    }
    return nil
  }

  /// Runs `body` once for each rank, concurrently.
  func run<Result>(_ body: (Int) -> Result) -> [Result] {
    Parallel.map(count, workers: count) { _, rank in body(rank) }
  }
}
