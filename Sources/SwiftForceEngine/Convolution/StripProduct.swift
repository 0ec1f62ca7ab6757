// The outputs of a convolution and the gradients of its inputs, strip by strip. Both are the same
// sums of products, with different taps and the weights packed in a different order. What must not
// live here: gradients of weights (WeightGradient.swift).

import SwiftForceCore

/// The product of packed weights and a source, written to a target.
struct StripProduct<Element: BLASScalar> {
  let plan: StripPlan
  /// The numbers of channels of the source and of the target.
  let sources: Int
  let targets: Int
  /// The number of positions of the kernel.
  let taps: Int
  let context: ExecutionContext<Element>

  /// Elements of a strip's sums for all channels of a part, so that they stay in the second-level
  /// cache.
  static var sumLimit: Int { 1 << 16 }

  /// Elements of a copied block of channels, so that it stays there with the sums.
  static var copyLimit: Int { 1 << 14 }

  /// How many target channels are computed together.
  static var partLimit: Int { 512 }

  /// The desired length of strips for this number of target channels.
  static func length(targets: Int) -> Int {
    min(512, max(96, sumLimit / max(1, min(targets, partLimit))))
  }

  private var lanes: Int { context.tiles.lanes }
  private var rows: Int { context.tiles.rows }

  private var part: Int {
    min(StripProduct.partLimit, targets).roundedUp(toMultipleOf: rows)
  }

  /// How many source channels are copied at a time.
  private var block: Int {
    min(sources, max(1, StripProduct.copyLimit / max(1, plan.channelLength)))
  }

  private var copyCount: Int {
    (block * plan.channelLength + 4 * lanes).roundedUp(toMultipleOf: 16)
  }

  /// A little more than a strip's length, so that rows do not map to the same cache sets.
  private var sumStride: Int { plan.length.roundedUp(toMultipleOf: lanes) + lanes }

  private var sumCount: Int { (part * sumStride).roundedUp(toMultipleOf: 16) }

  /// Elements of the packed weights.
  var packedCount: Int {
    (targets.roundedUp(toMultipleOf: rows) * sources * taps).roundedUp(toMultipleOf: 16)
  }

  var workspace: Int { packedCount + context.team.workers * (copyCount + sumCount) }

  /// Packs weights in groups of target channels: for each group, source channel and tap, as many
  /// elements as a tile has rows.
  ///
  /// - Parameters:
  ///   - weights: (outputs, inputs, taps).
  ///   - isTransposed: whether the inputs are the target, as for gradients of inputs.
  func pack(_ weights: Vector<Element>, isTransposed: Bool, into packed: Vector<Element>) {
    let groups = targets.roundedUp(toMultipleOf: rows) / rows
    context.team.forEach(groups) { _, group in
      let first = group * rows
      let count = min(rows, targets - first)
      let target = packed.part(group * sources * taps * rows..<(group + 1) * sources * taps * rows)
      if isTransposed {
        for source in 0..<sources {
          let start = (source * targets + first) * taps
          target.part(source * taps * rows..<(source + 1) * taps * rows).packRows(
            weights.part(start..<start + count * taps), rows: count, columns: taps, group: rows)
        }
      } else {
        let start = first * sources * taps
        target.packRows(
          weights.part(start..<start + count * sources * taps), rows: count,
          columns: sources * taps, group: rows)
      }
    }
  }

  /// Computes target = packed weights times source, plus the bias.
  ///
  /// - Parameters:
  ///   - source: the source's image.
  ///   - bias: one element per target channel, or nil.
  ///   - workspace: begins with the packed weights.
  func run(
    _ source: Vector<Element>, bias: Vector<Element>?, workspace: Vector<Element>,
    into target: Vector<Element>
  ) {
    let parts = (targets + part - 1) / part
    context.team.forEach(plan.strips.count * parts) { worker, round in
      let start = packedCount + worker * (copyCount + sumCount)
      let copy = workspace.part(start..<start + copyCount)
      let sums = workspace.part(start + copyCount..<start + copyCount + sumCount)
      let first = round % parts * part
      let channels = first..<min(first + part, targets)
      let strip = plan.strips[round / parts]
      add(
        strip, channels, source, weights: workspace, bias: bias, copy: copy, sums: sums)
      write(strip, channels, sums, to: target)
    }
  }

  /// Computes the sums of one strip for some target channels.
  private func add(
    _ strip: Strip, _ channels: Range<Int>, _ source: Vector<Element>, weights: Vector<Element>,
    bias: Vector<Element>?, copy: Vector<Element>, sums: Vector<Element>
  ) {
    let layout = plan.layouts[strip.layout]
    let taps = layout.taps(ofRow: strip.row)
    let stride = sumStride
    if let bias {
      sums.part(0..<channels.count * stride).matrix(rows: channels.count, columns: stride)
        .fillColumns(with: bias.part(channels))
      sums.clear(channels.count * stride..<sums.count)
    } else if taps.isEmpty {
      sums.clear(0..<sums.count)
    }
    let positions = layout.positions[taps].map { $0 * rows }
    let offsets = Array(layout.offsets[taps])
    for first in Swift.stride(from: 0, to: sources, by: block) where !taps.isEmpty {
      let count = min(block, sources - first)
      plan.copy(strip, channels: first..<first + count, from: source, to: copy, context)
      multiply(
        copy, channelLength: layout.channelLength, length: plan.length(of: strip), channels: count,
        offsets: offsets, positions: positions,
        weights: weights.part(
          (channels.lowerBound * sources + first * rows) * self.taps..<packedCount),
        groups: (channels.count + rows - 1) / rows, accumulate: first > 0 || bias != nil, into: sums
      )
    }
  }

  /// Computes all tiles of a strip for some source channels.
  private func multiply(
    _ copy: Vector<Element>, channelLength: Int, length: Int, channels: Int, offsets: [Int],
    positions: [Int], weights: Vector<Element>, groups: Int, accumulate: Bool,
    into sums: Vector<Element>
  ) {
    let tiles = context.tiles
    let (rows, lanes, stride) = (rows, lanes, sumStride)
    let groupLength = rows * sources * taps
    unsafe offsets.withUnsafeBufferPointer { offsets in
      unsafe positions.withUnsafeBufferPointer { positions in
        guard let first = offsets.baseAddress, let second = positions.baseAddress else { return }
        var start = 0
        for vectors in TileWidths(vectors: (length + lanes - 1) / lanes, maximum: tiles.vectors) {
          for group in 0..<groups {
            unsafe tiles.multiply(
              copy.base + start, sourceStride: channelLength, channels: channels,
              taps: offsets.count, offsets: first, positions: second,
              weights: weights.base + group * groupLength,
              weightStride: taps * rows, vectors: vectors, accumulate: accumulate,
              into: sums.base + group * rows * stride + start, targetStride: stride)
          }
          start += vectors * lanes
        }
      }
    }
  }

  /// Copies a strip's sums to the target.
  private func write(
    _ strip: Strip, _ channels: Range<Int>, _ sums: Vector<Element>, to target: Vector<Element>
  ) {
    let (start, step) = plan.place(of: strip)
    unsafe context.tiles.copy(
      sums.base, strides: (sumStride, strip.blocks.count * plan.lanes, plan.lanes),
      into: target.base + start + channels.lowerBound * plan.target.channel,
      strides: (plan.target.channel, step, plan.target.block), channels: channels.count,
      columns: strip.columns, blocks: strip.blocks.count, lanes: plan.lanes, zeros: (0, 0))
  }
}

/// Divides a number of vectors into tiles of at most `maximum`, and avoids very narrow tiles.
struct TileWidths: Sequence, IteratorProtocol {
  var vectors: Int
  let maximum: Int

  mutating func next() -> Int? {
    guard vectors > 0 else { return nil }
    // With a maximum of three: two and two, not three and one.
    let width = vectors == maximum + 1 ? (vectors + 1) / 2 : Swift.min(vectors, maximum)
    vectors -= width
    return width
  }
}
