// Bounds and limits: how many weights they demand and allow, and which of them no mask respects.

import Testing

@testable import SwiftForceCore

/// Bounds with some fields set.
private func bounds(_ change: (inout Bounds) -> Void) -> Bounds {
  var bounds = Bounds()
  change(&bounds)
  return bounds
}

@Suite struct BoundsTests {
  @Test func rangesOfATensor() throws {
    #expect(try Bounds().range(of: 7, tensor: 0) == 0...7)
    #expect(try Bounds().range(of: 0, tensor: 0) == 0...0)
    #expect(try bounds { ($0.least, $0.most) = (2, 5) }.range(of: 7, tensor: 0) == 2...5)
    #expect(try bounds { $0.most = 0 }.range(of: 7, tensor: 0) == 0...0)
    #expect(
      try bounds { ($0.outputs, $0.leastPerOutput, $0.mostPerOutput) = (3, 1, 2) }.range(
        of: 12, tensor: 0) == 3...6)
    #expect(
      try bounds { ($0.outputs, $0.inner, $0.leastPerOutput, $0.least) = (3, 2, 1, 5) }.range(
        of: 12, tensor: 0) == 5...12)
  }

  /// Groups do not divide the unit: the last one is shorter.
  @Test(arguments: [(10, 4, 2, 6), (9, 4, 2, 5), (8, 4, 2, 4), (3, 4, 2, 2), (7, 3, 0, 0)])
  func groups(length: Int, group: Int, most: Int, allowed: Int) throws {
    let bound = bounds { ($0.outputs, $0.group, $0.mostPerGroup) = (5, group, most) }
    #expect(try bound.range(of: 5 * length, tensor: 0) == 0...5 * allowed)
  }

  /// Against counting, for all small bounds: the numbers that the masks of a tensor keep that respect
  /// the bounds.
  @Test func rangesAreThoseOfAllMasks() throws {
    for number in 0..<(3 * 3 * 4 * 4 * 4) {
      var digits = number
      func digit(_ base: Int) -> Int {
        defer { digits /= base }
        return digits % base
      }
      var bound = Bounds()
      (bound.outputs, bound.leastPerOutput) = ([0, 1, 2][digit(3)], digit(3))
      (bound.mostPerOutput, bound.least) = (digit(4), digit(4))
      (bound.group, bound.mostPerGroup) = [(0, 5), (2, 1), (3, 1), (3, 0)][digit(4)]
      let length = 6 / max(1, bound.outputs)
      let kept = (0..<64).compactMap { bits -> Int? in
        for unit in 0..<max(1, bound.outputs) {
          let own = bits >> (unit * length) & (1 << length - 1)
          let count = own.nonzeroBitCount
          guard count >= bound.leastPerOutput, count <= bound.mostPerOutput else { return nil }
          guard bound.group > 0 else { continue }
          for start in stride(from: 0, to: length, by: bound.group)
          where (own >> start & (1 << bound.group - 1)).nonzeroBitCount > bound.mostPerGroup {
            return nil
          }
        }
        return bits.nonzeroBitCount >= bound.least ? bits.nonzeroBitCount : nil
      }
      let found = try? bound.range(of: 6, tensor: 0)
      #expect(found?.lowerBound == kept.min(), "\(bound)")
      #expect(found?.upperBound == kept.max(), "\(bound)")
    }
  }

  @Test(arguments: [
    bounds { $0.outputs = -1 }, bounds { $0.outputs = 5 }, bounds { $0.inner = 0 },
    bounds { ($0.outputs, $0.inner) = (3, 3) }, bounds { $0.group = -1 },
    bounds { $0.least = -1 }, bounds { $0.most = -1 }, bounds { $0.leastPerOutput = -1 },
    bounds { $0.mostPerOutput = -1 }, bounds { $0.mostPerGroup = -1 }, bounds { $0.least = 13 },
    bounds { ($0.least, $0.most) = (2, 1) },
    bounds { ($0.leastPerOutput, $0.mostPerOutput) = (2, 1) },
    bounds { ($0.outputs, $0.leastPerOutput, $0.most) = (3, 1, 2) },
    bounds { ($0.outputs, $0.mostPerOutput, $0.least) = (3, 1, 4) },
    bounds { $0.outputs = .max }, bounds { $0.outputs = .min },
    bounds { ($0.outputs, $0.leastPerOutput) = (3, .max) },
  ])
  func refused(bound: Bounds) {
    guard case .badBounds(let tensor, _) = failure({ _ = try bound.range(of: 12, tensor: 4) })
    else {
      Issue.record("\(bound)")
      return
    }
    #expect(tensor == 4)
  }

  @Test func messagesHaveTheNumbers() {
    let floor = bounds { ($0.outputs, $0.leastPerOutput, $0.mostPerOutput) = (3, 3, 2) }
    #expect(
      failure { _ = try floor.range(of: 12, tensor: 1) }?.message
        == "weights[1]: at least 3 weights of each output unit must be kept, and at most 2"
        + " of its 4 may be")
    let limits = Limits(bounds: [bounds { $0.least = 3 }, bounds { $0.most = 2 }])
    #expect(
      failure { try limits.check([2], of: [4, 4]) }?.message
        == "2 weights are to be kept, and the floors demand 3")
    #expect(
      failure { try limits.check([7], of: [4, 4]) }?.message
        == "7 weights are to be kept, and the caps allow 6")
    #expect(
      failure { try Limits(counts: [5, 0]).check([5], of: [4, 4]) }?.message
        == "weights[0]: 5 weights are to be kept, and the number must be in 0 ... 4")
    #expect(
      failure { try Limits(counts: [1, 2]).check([4], of: [4, 4]) }?.message
        == "4 weights are to be kept, and those of all tensors are 3")
  }

  @Test func listsOfOtherLengths() {
    #expect(
      failure { _ = try Limits(bounds: [Bounds()]).ranges(of: [1, 2]) }
        == .sizeMismatch(.weights, tensor: nil, got: 1, expected: 2))
    #expect(
      failure { try Limits(counts: [1]).check([1], of: [1, 2]) }
        == .sizeMismatch(.weights, tensor: nil, got: 1, expected: 2))
  }
}
