// The outputs of a sparse layer for few samples. What must not live here: larger batches
// (SparseProduct.swift), gradients.

import SwiftForceCore

/// Where the kept weights of a layer read in planes, in the order of `SparseWeights.positions`.
final class PlaneLists: @unchecked Sendable {
  let geometry: PlaneGeometry
  /// Positions from the first output to what a kept weight reads for it. Empty if there are `inputs`.
  let entries: Vector<Int32>
  /// The input that each kept weight of a linear layer reads; nil for images, and for indices of
  /// more than 16 bits.
  let inputs: Vector<UInt16>?
  private let memory: (entries: Arena<Int32>, inputs: Arena<UInt16>)

  /// - Throws: `.noMemory`.
  /// - Complexity: O(kept weights).
  init(_ positions: Vector<Int32>, _ shape: KernelShape, _ geometry: PlaneGeometry) throws(SFError)
  {
    self.geometry = geometry
    let isLinear = geometry.isLinear(inputs: shape.inputs)
    memory = (
      try Arena(count: isLinear ? 0 : positions.count),
      try Arena(count: isLinear ? positions.count : 0)
    )
    entries = memory.entries.all
    inputs = isLinear ? memory.inputs.all : nil
    if let inputs {
      for i in 0..<positions.count { inputs[i] = UInt16(shape.weight(positions[i]).source) }
      return
    }
    for i in 0..<positions.count {
      let weight = shape.weight(positions[i])
      let offset = geometry.offset(row: weight.row, column: weight.column)
      entries[i] = Int32(weight.source * geometry.channelLength + offset)
    }
  }
}

/// The product of kept weights and the inputs of fewer samples than a point has.
///
/// Nothing allocates, and no result depends on the number of workers. Samples are the innermost
/// dimension of activations and planes, without a gap.
struct PlaneProduct<Element: BLASScalar> {
  let weights: SparseWeights
  let lists: PlaneLists
  let batch: Int
  let loops: any SparseLoops<Element>.Type
  let team: Team

  private var geometry: PlaneGeometry { lists.geometry }

  /// Products and elements that are too few for several workers.
  private static var leastProducts: Int { 1 << 16 }
  private static var leastElements: Int { 1 << 13 }

  /// target = the weights times the source, plus the bias.
  ///
  /// - Parameters:
  ///   - source: (inputs, height, width, batch).
  ///   - bias: one element per output channel; nil: zeros.
  ///   - workspace: `PlaneGeometry.workspace` elements.
  ///   - target: set; (outputs, height, width, batch).
  func run(
    _ source: Vector<Element>, values: Vector<Element>, bias: Vector<Element>?,
    workspace: Vector<Element>, into target: Vector<Element>
  ) {
    assert(source.count == weights.inputs * sourceSize)
    assert(target.count == weights.outputs * targetSize)
    assert(values.count == weights.count)
    if let inputs = lists.inputs {
      FewSampleProduct(weights: weights, entries: inputs, batch: batch, loops: loops, team: team)
        .run(source, values: values, bias: bias, workspace: workspace, into: target)
      return
    }
    // Pieces that are full read nothing behind the image.
    let isDirect = geometry.isImage && sourceSize % 8 == 0
    if !isDirect { spread(source, into: workspace) }
    let planes = isDirect ? source : workspace
    let length = geometry.outputs * batch
    let parts =
      weights.count * length < PlaneProduct.leastProducts
      ? 1 : min(weights.outputs, team.workers == 1 ? 1 : 4 * team.workers)
    team.forEach(parts) { _, part in
      let channels = weights.forward.channels(part, of: parts)
      let pieces = (length + 7) / 8
      let tiles = (pieces + loops.planePieces - 1) / loops.planePieces
      for tile in 0..<tiles {
        multiply(
          pieces * tile / tiles..<pieces * (tile + 1) / tiles, channels, planes, values: values,
          bias: bias, into: target)
      }
    }
  }

  /// Elements of a channel of the source, and of the target.
  private var sourceSize: Int { weights.rows.inputs * weights.columns.inputs * batch }

  private var targetSize: Int { weights.rows.outputs * weights.columns.outputs * batch }

  /// Computes some pieces of eight elements.
  private func multiply(
    _ pieces: Range<Int>, _ channels: Range<Int>, _ planes: Vector<Element>,
    values: Vector<Element>, bias: Vector<Element>?, into target: Vector<Element>
  ) {
    let start = 8 * pieces.lowerBound
    let (first, groups) = (channels.lowerBound, weights.forward.plan.groups)
    // Without gaps all rows are one.
    let hasGaps = geometry.pitch > weights.columns.outputs
    let width = hasGaps ? weights.columns.outputs * batch : targetSize
    let pitch = hasGaps ? geometry.pitch * batch : targetSize
    let (row, column) = start.quotientAndRemainder(dividingBy: pitch)
    unsafe loops.multiplyPlane(
      planes.base + start, unit: batch, entries: lists.entries.base, values: values.base,
      starts: weights.forward.starts.base + first * groups, startStride: groups,
      channels: channels.count, bias: bias.map { unsafe UnsafePointer($0.base + first) },
      pieces: pieces.count, into: target.base + first * targetSize + row * width,
      targetStride: targetSize, rows: targetSize / width - row, column: column, width: width,
      pitch: pitch)
  }

  /// Copies the source to planes.
  private func spread(_ source: Vector<Element>, into planes: Vector<Element>) {
    assert(planes.count >= geometry.workspace(inputs: weights.inputs, batch: batch))
    let elements = weights.inputs * geometry.channelLength * batch
    let parts = elements < PlaneProduct.leastElements ? 1 : min(weights.inputs, team.workers)
    team.forEach(parts) { _, part in
      let channels = weights.inputs * part / parts..<weights.inputs * (part + 1) / parts
      for row in 0..<geometry.rows.planes {
        for column in 0..<geometry.columns.planes {
          spread(source, channels, row, column, into: planes)
        }
      }
    }
  }

  /// Copies what one plane of some channels has.
  private func spread(
    _ source: Vector<Element>, _ channels: Range<Int>, _ row: Int, _ column: Int,
    into planes: Vector<Element>
  ) {
    let (rows, columns) = (geometry.rows.positions(row), geometry.columns.positions(column))
    let plane = row * geometry.columns.planes + column
    let to = channels.lowerBound * geometry.channelLength + plane * geometry.planeLength
    var (from, head, copied) = (0, 0, 0)
    let isEmpty = rows.isEmpty || columns.isEmpty
    if !isEmpty {
      from =
        geometry.rows.source(rows.lowerBound, row) * weights.columns.inputs
        + geometry.columns.source(columns.lowerBound, column)
      head = rows.lowerBound * geometry.pitch + columns.lowerBound
      copied = (rows.count - 1) * geometry.pitch + columns.count
    }
    unsafe loops.spread(
      source.base + channels.lowerBound * sourceSize + from * batch, channels: channels.count,
      sourceStride: sourceSize, rowStride: weights.rows.stride * weights.columns.inputs * batch,
      columnStride: weights.columns.stride * batch, rows: isEmpty ? 0 : rows.count,
      columns: columns.count, lanes: batch, into: planes.base + to * batch,
      targetStride: geometry.channelLength * batch, head: head * batch,
      gap: (geometry.pitch - columns.count) * batch,
      tail: (geometry.planeLength - head - copied) * batch)
  }
}

extension SparseLists {
  /// The target channels of one of several parts that have about as many kept weights.
  func channels(_ part: Int, of parts: Int) -> Range<Int> {
    boundary(part, of: parts)..<boundary(part + 1, of: parts)
  }

  /// The first channel of a part.
  private func boundary(_ part: Int, of parts: Int) -> Int {
    if part == parts { return plan.targets }
    var (low, high) = (0, plan.targets)
    while low < high {
      let middle = (low + high) / 2
      if entries(of: 0..<middle).count * parts < part * entries.count {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }
}
