// A search on several ranks against one search over all tensors: the same masks, bit for bit, and the
// same reports. What must not live here: which networks are searched.

import Testing

@testable import SwiftForceCore

/// A report without the fields that may differ between one process and several.
func common(_ report: Report) -> Report {
  var copy = report
  copy.passes = 0
  copy.layerKept = []
  return copy
}

/// Takes all steps in one process and in several, and compares after each.
func checkShared(
  _ network: ShardedNetwork, _ method: Method, keeps: [Int], limits: Limits = Limits(),
  saliency: Saliency? = nil, rule: Rule? = nil, _ what: Comment
) throws {
  let keep = keeps[keeps.count - 1]
  func search(_ rank: Int?, from step: Int = 0) throws -> Search {
    var limits = limits
    if rank != nil, limits.areSet { limits.wholes = Wholes(sizes: network.sizes, first: 0) }
    return try Search(
      method, sizes: network.parts(rank) { $1 }, keep: keep, keeps: keeps, seed: 5,
      total: rank == nil ? nil : network.total, taken: step, saliency: saliency, rule: rule,
      limits: limits)
  }
  var single = try search(nil)
  var searches = try (0..<network.ranks).map { try search($0) }
  let (one, many) = (SearchOutput(network), SearchOutput(network))
  var before: [Memory<UInt8>]?
  for t in keeps.indices {
    // Limits may depend on what a search knows of the step before: the last one goes on without it.
    if limits.areSet, t == keeps.count - 1 {
      searches = try (0..<network.ranks).map { try search($0, from: t) }
    }
    let expected = try network.step(&single, t, rank: nil, from: before, into: one)
    let group = RankGroup(network.ranks)
    let started = searches
    let outcomes = group.run { rank -> Result<(Search, Report), SFError> in
      var search = started[rank]
      return Result { () throws(SFError) in
        let report = try network.step(&search, t, rank: rank, from: before, into: many, group)
        return (search, report)
      }
    }
    let taken = try outcomes.map { try $0.get() }
    searches = taken.map(\.0)
    // Given scores are of either sign, and of few bits: their sums are exact.
    let scale = saliency == .given ? 0.0 : nil
    #expect(Set(taken.map(\.1.passes)).count == 1, what)
    for (_, report) in taken {
      #expect(agree(common(report), common(expected), scale: scale), what)
    }
    for tensor in network.sizes.indices {
      let kept = taken.reduce(0) { $0 + $1.1.layerKept[tensor] }
      #expect(kept == expected.layerKept[tensor], what)
    }
    #expect(many.masks.map(\.values) == one.masks.map(\.values), what)
    #expect(many.masked.map(\.bits) == one.masked.map(\.bits), what)
    #expect(many.isIntact, what)
    // The bytes of all sums of a step: mostly histograms of digits of keys and positions.
    if !limits.areSet { #expect(group.lengths.reduce(0, +) * 8 < 150_000, what) }
    before = one.masks
    (one.masks, many.masks) = (SearchOutput(network).masks, SearchOutput(network).masks)
  }
}
