// Products of kept weights with activations, tile by tile: outputs, and gradients of inputs. What
// must not live here: gradients of weights (SparseCorrelation.swift).

import SwiftForceCore

/// The product of kept weights and a source, written to a target.
struct SparseProduct<Element: BLASScalar> {
  let lists: SparseLists
  let batch: SparseBatch
  /// Elements of a channel of the target.
  let targetSize: Int
  let loops: any SparseLoops<Element>.Type
  let team: Team
  /// See `SparseComputation.scratch`.
  let scratch: Vector<Element>

  private var plan: ListPlan { lists.plan }

  private var places: PointPlaces {
    PointPlaces(plan: plan, batch: batch, targetSize: targetSize)
  }

  /// - Parameters:
  ///   - values: in the order of the lists.
  ///   - bias: one element per target channel; nil: zeros.
  func run(
    _ source: Vector<Element>, values: Vector<Element>, bias: Vector<Element>?,
    into target: Vector<Element>
  ) {
    assert(source.count == batch.elements(features: plan.sources * plan.points.sourceSize))
    assert(target.count == batch.elements(features: plan.targets * targetSize))
    assert(values.count == lists.entries.count)
    if let regions = plan.regions, batch.lanes == SparseBatch.width {
      run(regions, source, values: values, bias: bias, into: target)
      return
    }
    assert(!plan.copiesWindows, "entries are for regions")
    let tiles = plan.points.classes.reduce(0) { $0 + tileCount($1) }
    guard tiles > 0 else { return }
    // Few tiles are divided by channels, too.
    let parts = min(plan.targets, team.workers == 1 ? 1 : max(1, 8 * team.workers / tiles))
    team.forEach(tiles * parts) { _, round in
      let part = round % parts
      let channels = plan.targets * part / parts..<plan.targets * (part + 1) / parts
      run(tile: round / parts, channels, source, values: values, bias: bias, into: target)
    }
  }

  private func items(_ form: PointClass) -> Int { form.points.count * batch.parts }

  private func tileCount(_ form: PointClass) -> Int {
    (items(form) + loops.points - 1) / loops.points
  }

  private func run(
    tile: Int, _ channels: Range<Int>, _ source: Vector<Element>, values: Vector<Element>,
    bias: Vector<Element>?, into target: Vector<Element>
  ) {
    var (number, tile) = (0, tile)
    while tile >= tileCount(plan.points.classes[number]) {
      tile -= tileCount(plan.points.classes[number])
      number += 1
    }
    let form = plan.points.classes[number]
    let points = loops.points
    unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * points) { offsets in
      guard let sources = offsets.baseAddress else { return }
      let targets = unsafe sources + points
      for t in 0..<points {
        // A tile that is not full computes its last point several times.
        let item = min(tile * points + t, items(form) - 1)
        let place = places.place(item, form)
        unsafe sources[t] = place.source
        unsafe targets[t] = place.target
      }
      let first = channels.lowerBound
      for chunk in 0..<plan.chunks {
        let segments = lists.segments(number, chunks: chunk..<chunk + 1)
        unsafe loops.multiply(
          source.base, sourceOffsets: sources, unit: batch.lanes, entries: lists.entries.base,
          values: values.base, starts: lists.starts.base + first * plan.groups,
          startStride: plan.groups, segments: segments.base, segmentCount: segments.count / 2,
          channels: channels.count, bias: bias.map { unsafe UnsafePointer($0.base + first) },
          accumulate: chunk > 0, into: target.base + first * targetSize * batch.lanes,
          targetOffsets: targets, targetStride: targetSize * batch.lanes)
      }
    }
  }

  /// Computes all regions. One worker computes all regions of a block and some channels, since they
  /// may overlap.
  private func run(
    _ regions: SparseRegions, _ source: Vector<Element>, values: Vector<Element>,
    bias: Vector<Element>?, into target: Vector<Element>
  ) {
    let (lanes, size) = (batch.lanes, targetSize * batch.lanes)
    // Each part copies what it reads. If nothing is copied, small parts keep all workers busy.
    let least = (team.workers + batch.parts - 1) / max(1, batch.parts)
    let small = team.workers == 1 ? 1 : max(1, 8 * team.workers / max(1, batch.parts))
    let parts = min(plan.targets, plan.copiesWindows ? least : small)
    team.forEach(batch.parts * parts) { worker, round in
      let scratch = plan.windows(of: worker, in: scratch)
      let part = round % parts
      let first = plan.targets * part / parts
      let channels = plan.targets * (part + 1) / parts - first
      let from = round / parts * batch.step(features: plan.sources * plan.points.sourceSize)
      let to = round / parts * batch.step(features: plan.targets * targetSize) + first * size
      for region in regions.regions {
        for chunk in 0..<plan.chunks {
          let segments = lists.regionSegments(region.form, chunk: chunk)
          unsafe loops.multiplyRegion(
            plan.prepareSource(
              region, chunk: chunk, of: source.base + from, scratch: scratch, loops),
            rowStride: plan.regionRowStride * lanes, columnStep: regions.columnStep,
            entries: lists.entries.base, values: values.base,
            starts: lists.starts.base + first * plan.groups, startStride: plan.groups,
            segments: segments.base, segmentCount: segments.count / 3, channels: channels,
            bias: bias.map { unsafe UnsafePointer($0.base + first) }, accumulate: chunk > 0,
            into: target.base + to + region.target * lanes,
            targetRowStride: regions.targetRowStride * lanes,
            targetColumnStride: regions.targetColumnStep * lanes, targetStride: size)
        }
      }
    }
  }
}
