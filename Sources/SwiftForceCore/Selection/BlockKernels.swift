// The loops over blocks as a protocol, which every CPU level and both types of scores implement.
// What must not live here: the loops themselves (SwiftForceKernels).

import SwiftForceKernels

#if arch(x86_64)
  import SwiftForceKernelsV3
  import SwiftForceKernelsV4
#endif

/// The loops of selection at one CPU level, for scores of one type. See `Blocks`.
protocol BlockKernels {
  associatedtype Score: BinaryFloatingPoint & Sendable
  associatedtype Key: FixedWidthInteger & SignedInteger & Sendable

  static var excluded: Key { get }
  static func score(of key: Key) -> Score
  static func key(of score: Score) -> Key

  static func widen(
    _ base: UnsafeRawPointer, code: Int, start: Int, count: Int,
    scratch: UnsafeMutablePointer<Score>
  ) -> UnsafePointer<Score>
  static func gather(
    _ base: UnsafeRawPointer, code: Int, positions: UnsafePointer<Int>, count: Int,
    scratch: UnsafeMutablePointer<Score>)

  static func connectionSensitivity(
    _ weights: UnsafePointer<Score>, _ gradients: UnsafePointer<Score>, count: Int,
    into keys: UnsafeMutablePointer<Key>
  ) -> Bool
  static func squaredGradient(
    _ gradients: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Bool
  static func magnitude(
    _ weights: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Bool
  static func given(
    _ scores: UnsafePointer<Score>, count: Int, into keys: UnsafeMutablePointer<Key>
  ) -> Bool
  static func excludeRemoved(
    _ mask: UnsafePointer<UInt8>, count: Int, from keys: UnsafeMutablePointer<Key>)
  static func accumulate(
    _ accumulated: UnsafePointer<Score>, momentum: Score, count: Int, below limit: Key,
    into keys: UnsafeMutablePointer<Key>
  ) -> Bool
  static func multiplyRemoved(
    _ mask: UnsafePointer<UInt8>, by factor: Score, count: Int,
    in keys: UnsafeMutablePointer<Key>)
  static func divide(_ keys: UnsafeMutablePointer<Key>, by cost: Score, count: Int)
  static func store(
    _ keys: UnsafePointer<Key>, count: Int, into base: UnsafeMutableRawPointer, code: Int,
    start: Int)
  static func keptSum(
    _ keys: UnsafePointer<Key>, _ mask: UnsafePointer<UInt8>, count: Int
  ) -> Double
  static func zeros(_ keys: UnsafePointer<Key>, count: Int) -> Int
  static func zeros(
    _ keys: UnsafePointer<Key>, keptBy mask: UnsafePointer<UInt8>, count: Int
  ) -> Int
  static func scores(
    of keys: UnsafePointer<Key>, count: Int, into scores: UnsafeMutablePointer<Score>)

  static func classify(
    _ keys: UnsafePointer<Key>, gradients: UnsafePointer<Score>?, count: Int, areSigned: Bool,
    low: Key, high: Key, prefetch: PrefetchAddresses, into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics
  static func classifyProducts(
    _ weights: UnsafeRawPointer, _ gradients: UnsafeRawPointer, code: Int, count: Int, low: Key,
    high: Key, prefetch: PrefetchAddresses, keys: UnsafeMutablePointer<Key>,
    into mask: UnsafeMutablePointer<UInt8>
  ) -> BlockStatistics
  static func addHistogram(
    _ keys: UnsafePointer<Key>, count: Int, prefix: Key, prefixMask: Key, shift: Key,
    digitMask: Key, flip: Key, to bins: UnsafeMutablePointer<Int>)
  static func atLeast(_ key: Key, _ keys: UnsafePointer<Key>, count: Int) -> Int
  static func addTies(
    _ keys: UnsafePointer<Key>, count: Int, of key: Key, offset: Int, shift: Int,
    to bins: UnsafeMutablePointer<Int>)

  static func excludeDecided(
    _ states: UnsafePointer<UInt8>, count: Int, from keys: UnsafeMutablePointer<Key>)
  static func decide(
    _ best: UnsafePointer<UInt8>, count: Int, top: UInt8, rest: UInt8,
    in states: UnsafeMutablePointer<UInt8>)
  static func decide(
    _ keys: UnsafePointer<Key>, count: Int, threshold: Key, ties: Int, top: UInt8, rest: UInt8,
    in states: UnsafeMutablePointer<UInt8>)
  static func open(
    _ keys: UnsafePointer<Key>, count: Int, into states: UnsafeMutablePointer<UInt8>
  ) -> Int
  static func capGroups(
    _ keys: UnsafeMutablePointer<Key>, count: Int, group: Int, most: Int,
    in states: UnsafeMutablePointer<UInt8>
  ) -> Int
  static func largest(_ keys: UnsafePointer<Key>, count: Int) -> Int
  static func ties(
    _ keys: UnsafePointer<Key>, _ mask: UnsafePointer<UInt8>, count: Int, of key: Key
  ) -> (all: Int, kept: Int)
  static func overruled(
    _ best: UnsafePointer<UInt8>, _ states: UnsafePointer<UInt8>, count: Int
  ) -> (kept: Int, removed: Int)

  static func collect(
    _ keys: UnsafePointer<Key>, _ mask: UnsafeMutablePointer<UInt8>, count: Int, offset: UInt32,
    found: UnsafeMutablePointer<Key>, positions: UnsafeMutablePointer<UInt32>)
  static func resolve(
    _ mask: UnsafeMutablePointer<UInt8>, count: Int, keeping quota: inout Int
  ) -> (undecided: Int, kept: Int)
  static func kept(_ mask: UnsafePointer<UInt8>, count: Int) -> Int
  static func changes(
    from previous: UnsafePointer<UInt8>, to mask: UnsafePointer<UInt8>, count: Int
  ) -> (removed: Int, revived: Int)
  static func apply(
    _ mask: UnsafePointer<UInt8>, unlessEqualTo before: UnsafePointer<UInt8>?,
    to weights: UnsafeRawPointer, size: Int, start: Int, count: Int,
    into masked: UnsafeMutableRawPointer)
  static func copy(
    _ positions: [Int], from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer,
    size: Int)
}

extension SwiftForceKernels.Blocks: BlockKernels {}

#if arch(x86_64)
  extension SwiftForceKernelsV3.Blocks: BlockKernels {}
  extension SwiftForceKernelsV4.Blocks: BlockKernels {}
#endif

/// The statistics of a block, and the addresses of the next one: the same types on every CPU level.
typealias BlockStatistics = SwiftForceKernels.BlockStatistics
typealias PrefetchAddresses = SwiftForceKernels.PrefetchAddresses

/// The loops for the lowest CPU level, for scores in binary32.
typealias BaselineFloatKernels = SwiftForceKernels.Blocks<Float>
