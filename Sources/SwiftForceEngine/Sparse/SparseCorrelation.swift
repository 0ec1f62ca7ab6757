// The gradients of kept weights, tile by tile. What must not live here: outputs and gradients of
// inputs (SparseProduct.swift).

import SwiftForceCore

/// The products of a source and the gradient of a target, summed for each kept weight.
struct SparseCorrelation<Element: BLASScalar> {
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

  func run(
    _ source: Vector<Element>, outputGradient: Vector<Element>, accumulate: Bool,
    into target: Vector<Element>
  ) {
    assert(source.count == batch.elements(features: plan.sources * plan.points.sourceSize))
    assert(outputGradient.count == batch.elements(features: plan.targets * targetSize))
    assert(target.count == lists.entries.count)
    // Each part reads the whole source, so there are no more parts than workers.
    let parts = min(plan.targets, team.workers)
    team.forEach(parts) { worker, part in
      let channels = lists.channels(part, of: parts)
      if !accumulate { target.clear(lists.entries(of: channels)) }
      if let regions = plan.regions, batch.lanes == SparseBatch.width {
        let scratch = plan.windows(of: worker, in: scratch)
        add(regions, channels, source, outputGradient, scratch, to: target)
        return
      }
      assert(!plan.copiesWindows, "entries are for regions")
      for number in plan.points.classes.indices {
        add(number, channels, source, outputGradient, to: target)
      }
    }
  }

  /// Adds the products of all points of a class.
  private func add(
    _ number: Int, _ channels: Range<Int>, _ source: Vector<Element>,
    _ outputGradient: Vector<Element>, to target: Vector<Element>
  ) {
    let form = plan.points.classes[number]
    let items = form.points.count * batch.parts
    let size = loops.points
    guard !form.rows.isEmpty else { return }
    unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * size) { offsets in
      guard let sources = offsets.baseAddress else { return }
      let targets = unsafe sources + size
      for start in stride(from: 0, to: items, by: size) {
        let count = min(size, items - start)
        for t in 0..<size {
          let place = places.place(start + min(t, count - 1), form)
          unsafe sources[t] = place.source
          unsafe targets[t] = place.target
        }
        let first = channels.lowerBound
        for chunk in 0..<plan.chunks {
          let segments = lists.segments(number, chunks: chunk..<chunk + 1)
          unsafe loops.correlate(
            source.base, sourceOffsets: sources, unit: batch.lanes,
            with: outputGradient.base + first * targetSize * batch.lanes, gradientOffsets: targets,
            gradientStride: targetSize * batch.lanes, count: count, entries: lists.entries.base,
            starts: lists.starts.base + first * plan.groups, startStride: plan.groups,
            segments: segments.base, segmentCount: segments.count / 2, channels: channels.count,
            into: target.base)
        }
      }
    }
  }

  /// Adds the products of all regions.
  private func add(
    _ regions: SparseRegions, _ channels: Range<Int>, _ source: Vector<Element>,
    _ outputGradient: Vector<Element>, _ scratch: Vector<Element>, to target: Vector<Element>
  ) {
    let (lanes, size) = (batch.lanes, targetSize * batch.lanes)
    let first = channels.lowerBound
    for part in 0..<batch.parts {
      let from = part * batch.step(features: plan.sources * plan.points.sourceSize)
      let to = part * batch.step(features: plan.targets * targetSize) + first * size
      for region in regions.regions {
        for chunk in 0..<plan.chunks {
          let segments = lists.regionSegments(region.form, chunk: chunk)
          unsafe loops.correlateRegion(
            plan.prepareSource(
              region, chunk: chunk, of: source.base + from, scratch: scratch, loops),
            rowStride: plan.regionRowStride * lanes, columnStep: regions.columnStep,
            with: outputGradient.base + to + region.target * lanes,
            gradientRowStride: regions.targetRowStride * lanes,
            gradientColumnStride: regions.targetColumnStep * lanes, gradientStride: size,
            firstRow: region.firstRow, firstColumn: region.firstColumn,
            entries: lists.entries.base, starts: lists.starts.base + first * plan.groups,
            startStride: plan.groups, segments: segments.base, segmentCount: segments.count / 3,
            channels: channels.count, into: target.base)
        }
      }
    }
  }
}
