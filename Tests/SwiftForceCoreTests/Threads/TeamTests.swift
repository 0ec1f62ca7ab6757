// The loops of a team: each round runs once, and no thread is left afterwards.

import SwiftForceCore
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#endif

@Suite struct TeamTests {
  /// How often each round ran, and how many rounds each worker ran.
  private func counts(
    _ team: Team, rounds: Int, pause: UInt32 = 0
  ) -> (ofRounds: [Int32], ofWorkers: [Int32]) {
    let cells = Memory<Int32>(
      [Int32](repeating: 0, count: team.workers * rounds), guardedBy: -7)
    team.forEach(rounds) { worker, round in
      unsafe cells.base[worker * rounds + round] += 1
      if pause > 0 { usleep(pause) }
    }
    #expect(cells.isIntact)
    let values = cells.values
    let workers = (0..<team.workers).map { values[$0 * rounds..<($0 + 1) * rounds] }
    return (
      (0..<rounds).map { round in workers.reduce(0) { $0 + $1[$1.startIndex + round] } },
      workers.map { $0.reduce(0, +) }
    )
  }

  @Test(arguments: [1, 2, 3, 5, 8])
  func eachRoundOnceInEveryLoop(workers: Int) {
    let team = Team(workers: workers)
    for loop in 0..<400 {
      let rounds = [0, 1, 2, 3, 7, 64][loop % 6]
      #expect(counts(team, rounds: rounds).ofRounds == [Int32](repeating: 1, count: rounds))
    }
    team.join()
  }

  /// A loop sees everything that the previous loop wrote.
  @Test(arguments: [2, 4])
  func loopsFollowEachOther(workers: Int) {
    let team = Team(workers: workers)
    let values = [0, 1].map { Memory<Int64>([Int64](repeating: $0, count: 37), guardedBy: -7) }
    for loop in 1...500 {
      let (from, to) = (values[(loop + 1) % 2], values[loop % 2])
      team.forEach(37) { _, round in unsafe to.base[round] = from.base[36 - round] + 1 }
      #expect(to.values == [Int64](repeating: Int64(loop), count: 37))
    }
    team.join()
  }

  @Test(arguments: [0, -3, 1])
  func oneWorkerIsTheCaller(workers: Int) {
    let team = Team(workers: workers)
    #expect(team.workers == 1)
    let caller = pthread_self()
    var order: [Int] = []
    team.forEach(5) { worker, round in
      #expect(worker == 0 && pthread_equal(pthread_self(), caller) != 0)
      order.append(round)
    }
    #expect(order == [0, 1, 2, 3, 4])
  }

  @Test func teamThatNeverRan() {
    let idle = Team(workers: 4)
    idle.join()
    idle.join()
    weak var gone: Team?
    do {
      let forgotten = Team(workers: 4)
      gone = forgotten
    }
    #expect(gone == nil)
  }

  /// Other threads than the caller's take part, at first and after a pause in which they sleep.
  @Test func sleepingThreadsWakeUp() {
    let team = Team(workers: 3)
    for _ in 0..<4 {
      let (rounds, workers) = counts(team, rounds: 60, pause: 1000)
      #expect(rounds == [Int32](repeating: 1, count: 60))
      #expect(workers.dropFirst().contains { $0 > 0 })
      usleep(20_000)
    }
    team.join()
  }

  @Test func fewerRoundsThanWorkers() {
    let team = Team(workers: 7)
    for _ in 0..<50 {
      for rounds in 2...6 {
        #expect(counts(team, rounds: rounds).ofRounds == [Int32](repeating: 1, count: rounds))
      }
    }
    team.join()
  }

  /// A thread-specific destructor runs when a thread ends: not before `join`, but after it for all.
  @Test(arguments: [false, true])
  func noThreadIsLeft(byDeinit: Bool) {
    var key = pthread_key_t()
    let made = unsafe pthread_key_create(&key) { cell in
      let cell = unsafe cell as UnsafeMutableRawPointer?
      unsafe cell?.assumingMemoryBound(to: Int32.self).pointee = 2
    }
    #expect(made == 0)
    let cells = Memory<Int32>([0, 0, 0, 0], guardedBy: -7)
    weak var gone: Team?
    do {
      let team = Team(workers: 4)
      gone = team
      team.forEach(60) { worker, _ in
        if worker > 0 {
          unsafe cells.base[worker] = 1
          unsafe pthread_setspecific(key, cells.base + worker)
        }
        usleep(1000)
      }
      #expect(cells.values.contains(1) && !cells.values.contains(2))
      if !byDeinit {
        team.join()
        #expect(!cells.values.contains(1))
        // From now on the caller runs all rounds.
        #expect(counts(team, rounds: 9).ofWorkers == [9, 0, 0, 0])
      }
    }
    #expect(gone == nil)
    #expect(cells.values.contains(2) && !cells.values.contains(1))
    pthread_key_delete(key)
  }
}
