// The lists of kept weights that the inner loops run over, for one direction of a convolution. What
// must not live here: activations, and the values of weights.

import SwiftForceCore

/// A kept weight: its channels, and its position in the kernel.
struct KeptWeight {
  let target: Int
  let source: Int
  let row: Int
  let column: Int

  /// The same weight with its channels exchanged.
  var transposed: KeptWeight {
    KeptWeight(target: source, source: target, row: row, column: column)
  }
}

/// The sizes of lists.
struct ListPlan: Sendable {
  let points: SparsePoints
  /// Nil if there is no loop for regions of this convolution.
  let regions: SparseRegions?
  /// The numbers of channels.
  let sources: Int
  let targets: Int
  /// The number of kept weights whose position is one of the taps.
  let count: Int
  /// Source channels of a chunk.
  let chunk: Int
  /// Whether the loops over regions read copies: each region those of a chunk. Entries then count
  /// from the first copy, not from a point's origin.
  let copiesWindows: Bool

  /// Bytes of the first-level cache that a tile's sources may take.
  static var cacheLimit: Int { 24 << 10 }

  /// The smallest mean number of entries of a chunk, for each target channel, that outweighs
  /// loading and storing the sums.
  static func entryLimit(isCopied: Bool) -> Double { isCopied ? 32 : 64 }

  /// The smallest number of products, of sixteen samples each, for which it pays to copy one
  /// position of a window.
  static var productLimit: Double { 40 }

  /// - Parameter copies: see `RegionSize`.
  init(
    points: SparsePoints, regions: SparseRegions?, sources: Int, targets: Int, count: Int,
    copies: Bool? = nil
  ) {
    self.points = points
    self.regions = regions
    self.sources = sources
    self.targets = targets
    self.count = count
    copiesWindows =
      regions.map {
        copies
          ?? ($0.positions < points.sourceSize
            && Double(count * $0.targets) >= ListPlan.productLimit
              * Double(sources * $0.window.size))
      } ?? false
    let positions = regions?.positions ?? points.positions(readBy: 8)
    let fits = max(1, ListPlan.cacheLimit / (64 * max(1, positions)))
    // Entries of a target channel, for each source channel.
    let entries = Double(count) / Double(sources * targets)
    let limit = ListPlan.entryLimit(isCopied: copiesWindows)
    let least = entries > 0 ? min(Double(sources), limit / entries) : Double(sources)
    let chunk = max(fits, Int(least.rounded(.up)))
    self.chunk = 2 * chunk > sources ? sources : chunk
  }

  var chunks: Int { (sources + chunk - 1) / chunk }

  /// Groups of a target channel.
  var groups: Int { chunks * points.taps }

  /// What a kept weight of a tap reads, in elements of a sample.
  func entry(source: Int, tap: Int, offsets: [Int]) -> Int {
    guard copiesWindows, let regions else { return source * points.sourceSize + offsets[tap] }
    return source % chunk * regions.window.size + offsets[tap]
  }

  /// Where each tap reads in its channel.
  var offsets: [Int] {
    guard copiesWindows, let regions else { return points.offsets }
    return points.shifts.map { regions.window.offset(row: $0.row, column: $0.column) }
  }

  /// How many ranges of entries a point needs for each chunk.
  func segmentCount(_ form: PointClass) -> Int {
    form.rows.isEmpty ? 0 : form.columns.count == points.columns.taps.count ? 1 : form.rows.count
  }

  private var segmentElements: Int {
    chunks * points.classes.reduce(0) { $0 + 2 * segmentCount($1) }
  }

  private var regionElements: Int {
    chunks * (regions?.forms.reduce(0) { $0 + 3 * $1.count } ?? 0)
  }

  /// Where the parts of the lists lie in their memory: entries, order, starts, segments of points
  /// and of regions.
  var parts: [Range<Int>] {
    var end = 0
    return [count, count, targets * groups + 1, segmentElements, regionElements].map { length in
      defer { end += length.roundedUp(toMultipleOf: 16) }
      return end..<end + length
    }
  }

  /// The elements of `Int32` that the lists take.
  var elements: Int { parts[4].upperBound.roundedUp(toMultipleOf: 16) }
}

/// For each target channel, where its kept weights read.
///
/// The entries of a target channel are sorted by chunk of source channels, row of taps, column of
/// taps, and source channel. A group is what has the first three in common. A point whose valid
/// taps are a range of rows and columns thus needs one contiguous range of entries for each row, or
/// a single one if all columns are valid. A chunk is as many source channels as a tile can read
/// from the first-level cache.
struct SparseLists: Sendable {
  let plan: ListPlan
  /// Where each kept weight reads: the elements of a sample from a point's origin, or from the
  /// first copy (`ListPlan.copiesWindows`).
  let entries: Vector<Int32>
  /// For each entry, the index of its weight, as it was given.
  let order: Vector<Int32>
  /// The first entry of each group, by target channel, and the number of entries.
  let starts: Vector<Int32>
  /// For each class of points and each chunk, pairs of indices of a target channel's groups.
  private let segments: Vector<Int32>
  private let segmentStarts: [Int]
  /// For each form of regions and each chunk, triples: indices of groups, and what is valid.
  private let regionSegments: Vector<Int32>
  private let regionStarts: [Int]

  /// - Parameters:
  ///   - memory: `plan.elements` elements.
  ///   - weights: calls its argument with each kept weight and its index; for each target channel
  ///     and tap, source channels must ascend.
  init(_ plan: ListPlan, memory: Vector<Int32>, weights: ((KeptWeight, Int) -> Void) -> Void) {
    self.plan = plan
    let parts = plan.parts.map { memory.part($0) }
    let (entries, order, starts) = (parts[0], parts[1], parts[2])
    (self.entries, self.order, self.starts, segments) = (entries, order, starts, parts[3])
    segmentStarts = SparseLists.fill(segments, plan)
    regionSegments = parts[4]
    regionStarts = SparseLists.fillRegions(regionSegments, plan)
    let places = GroupPlaces(plan)
    let groups = plan.targets * plan.groups
    starts.fill(with: 0)
    weights { weight, _ in
      if let group = places.group(weight) { starts[group + 1] += 1 }
    }
    for group in 0..<groups { starts[group + 1] += starts[group] }
    weights { weight, index in
      guard let group = places.group(weight) else { return }
      let at = Int(starts[group])
      starts[group] += 1
      entries[at] = Int32(places.entry(weight, group))
      order[at] = Int32(index)
    }
    // Each start has moved to the end of its group, which is the start of the next.
    for group in stride(from: groups, to: 0, by: -1) { starts[group] = starts[group - 1] }
    starts[0] = 0
  }

  /// Writes the segments of all classes and chunks, and returns where those of each class begin.
  private static func fill(_ segments: Vector<Int32>, _ plan: ListPlan) -> [Int] {
    let width = plan.points.columns.taps.count
    let height = plan.points.rows.taps.count
    var starts: [Int] = []
    var end = 0
    for form in plan.points.classes {
      starts.append(end)
      let count = plan.segmentCount(form)
      for chunk in 0..<plan.chunks {
        for segment in 0..<count {
          let row = form.rows.lowerBound + segment
          let rows = count == 1 ? form.rows : row..<row + 1
          let first = chunk * height + rows.lowerBound
          let last = chunk * height + rows.upperBound - 1
          segments[end] = Int32(first * width + form.columns.lowerBound)
          segments[end + 1] = Int32(last * width + form.columns.upperBound)
          end += 2
        }
      }
    }
    return starts
  }

  /// Likewise for all forms of regions.
  private static func fillRegions(_ segments: Vector<Int32>, _ plan: ListPlan) -> [Int] {
    var starts: [Int] = []
    var end = 0
    for runs in plan.regions?.forms ?? [] {
      starts.append(end)
      for chunk in 0..<plan.chunks {
        for run in runs {
          segments[end] = Int32(chunk * plan.points.taps + run.taps.lowerBound)
          segments[end + 1] = Int32(chunk * plan.points.taps + run.taps.upperBound)
          segments[end + 2] = Int32(run.form)
          end += 3
        }
      }
    }
    return starts
  }

  /// The segments of a form of regions in a chunk: triples, as the loops over regions want them.
  func regionSegments(_ form: Int, chunk: Int) -> Vector<Int32> {
    let count = 3 * (plan.regions?.forms[form].count ?? 0)
    let start = regionStarts[form] + chunk * count
    return regionSegments.part(start..<start + count)
  }

  /// The segments of a class of points in some chunks: pairs of indices of groups.
  func segments(_ number: Int, chunks: Range<Int>) -> Vector<Int32> {
    let count = 2 * plan.segmentCount(plan.points.classes[number])
    let start = segmentStarts[number]
    return segments.part(start + chunks.lowerBound * count..<start + chunks.upperBound * count)
  }

  /// The entries of target channels.
  func entries(of channels: Range<Int>) -> Range<Int> {
    let groups = plan.groups
    return Int(starts[channels.lowerBound * groups])..<Int(starts[channels.upperBound * groups])
  }
}

/// To which group a kept weight belongs, and where it reads.
private struct GroupPlaces {
  let plan: ListPlan
  let groups: Int
  let taps: Int
  let width: Int
  let offsets: [Int]
  /// The tap of each position in the kernel; -1 where there is none.
  let rows: [Int]
  let columns: [Int]

  init(_ plan: ListPlan) {
    let points = plan.points
    self.plan = plan
    groups = plan.groups
    taps = points.taps
    width = points.columns.taps.count
    offsets = plan.offsets
    rows = GroupPlaces.numbers(points.rows)
    columns = GroupPlaces.numbers(points.columns)
  }

  private static func numbers(_ side: TapClass) -> [Int] {
    var numbers = [Int](repeating: -1, count: (side.taps.map(\.position).max() ?? -1) + 1)
    for (number, tap) in side.taps.enumerated() { numbers[tap.position] = number }
    return numbers
  }

  func group(_ weight: KeptWeight) -> Int? {
    guard weight.row < rows.count, weight.column < columns.count else { return nil }
    let (row, column) = (rows[weight.row], columns[weight.column])
    guard row >= 0, column >= 0 else { return nil }
    return weight.target * groups + weight.source / plan.chunk * taps + row * width + column
  }

  func entry(_ weight: KeptWeight, _ group: Int) -> Int {
    plan.entry(source: weight.source, tap: group % taps, offsets: offsets)
  }
}
