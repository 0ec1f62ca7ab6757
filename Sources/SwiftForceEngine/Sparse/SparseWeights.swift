// The kept weights of a layer, compiled from its mask: which they are, in which order their values
// are stored, and the lists of both directions. What must not live here: values, activations, and
// the loops over them (SparseComputation.swift).

import SwiftForceCore

/// The kept weights of a convolution without groups, or of a linear layer.
///
/// It depends on the mask and on the sizes of the layer alone; calls with any batch may use it, and
/// several at a time. The values of the weights, their gradients and whatever else belongs to them
/// are compact arrays of `count` elements, in the order of `positions`.
final class SparseWeights: @unchecked Sendable {
  let inputs: Int
  let outputs: Int
  let rows: ConvolutionSide
  let columns: ConvolutionSide
  /// The number of kept weights.
  let count: Int
  /// The lists of output channels.
  let forward: SparseLists
  /// The lists of input channels, for each remainder of the stride.
  let backward: [SparseLists]

  /// The index of each kept weight in the dense array (outputs, inputs, kernel, kernel).
  var positions: Vector<Int32> { forward.order }

  private let memory: Arena<Int32>

  /// The lists of forward products with fewer than 16 samples; nil before `preparePlanes`.
  private(set) var planes: PlaneLists?

  /// Makes `planes`, if they are not there. Their offsets must fit into 32 bits, and no other call
  /// may use the weights meanwhile.
  ///
  /// - Throws: `.noMemory`.
  func preparePlanes() throws(SFError) {
    guard planes == nil else { return }
    let shape = KernelShape(inputs: inputs, rows: rows.kernel, columns: columns.kernel)
    planes = try PlaneLists(positions, shape, PlaneGeometry(rows: rows, columns: columns))
  }

  /// Elements of scratch memory of each worker (`SparseComputation.scratch`).
  var windowElements: Int {
    backward.reduce(forward.plan.windowElements) { max($0, $1.plan.windowElements) }
  }

  /// The bytes that this takes beside a few hundred for each position of the image.
  var bytes: Int { memory.count * MemoryLayout<Int32>.stride }

  /// Whether all offsets and positions of such a layer fit into 32 bits.
  static func supports(
    inputs: Int, outputs: Int, rows: ConvolutionSide, columns: ConvolutionSide
  ) -> Bool {
    let taps = rows.kernel.multipliedReportingOverflow(by: columns.kernel)
    let limit = Int(Int32.max) / 2
    func fits(_ factors: Int...) -> Bool {
      factors.reduce(1.0) { $0 * Double($1) } < Double(limit)
    }
    return !taps.overflow && fits(inputs, outputs, taps.partialValue)
      && fits(
        inputs, rows.inputs + rows.kernel + rows.padding,
        columns.inputs + columns.kernel + columns.padding)
      && fits(
        outputs, rows.outputs + rows.kernel + rows.padding,
        columns.outputs + columns.kernel + columns.padding)
  }

  /// The kept weights of a linear layer.
  ///
  /// - Parameters:
  ///   - mask: (outputs, inputs): 0 where a weight is removed.
  ///   - region: that of the loops that will be used.
  convenience init(
    mask: Vector<UInt8>, inputs: Int, outputs: Int, region: RegionSize
  ) throws(SFError) {
    let side = ConvolutionSide(inputs: 1, kernel: 1, stride: 1, padding: 0)
    try self.init(
      mask: mask, inputs: inputs, outputs: outputs, rows: side, columns: side, region: region)
  }

  /// The kept weights of a convolution that `supports` accepts.
  ///
  /// - Parameters:
  ///   - mask: (outputs, inputs, kernel, kernel): 0 where a weight is removed.
  ///   - region: that of the loops that will be used.
  /// - Throws: `.noMemory`.
  /// - Complexity: O(weights + image).
  init(
    mask: Vector<UInt8>, inputs: Int, outputs: Int, rows: ConvolutionSide,
    columns: ConvolutionSide, region: RegionSize
  ) throws(SFError) {
    let taps = rows.kernel * columns.kernel
    precondition(mask.count == inputs * outputs * taps, "a mask of another size")
    precondition(
      SparseWeights.supports(inputs: inputs, outputs: outputs, rows: rows, columns: columns),
      "too large for 32-bit offsets")
    (self.inputs, self.outputs, self.rows, self.columns) = (inputs, outputs, rows, columns)
    let shape = KernelShape(inputs: inputs, rows: rows.kernel, columns: columns.kernel)
    let kept = try KeptWeights(mask, shape)
    count = kept.count
    let plans =
      ListPlan.forward(inputs, outputs, rows, columns, kept, region)
      + ListPlan.backward(inputs, outputs, rows, columns, kept, region)
    let memory = try Arena<Int32>(count: plans.reduce(0) { $0 + $1.elements })
    var end = 0
    var lists: [SparseLists] = []
    for plan in plans {
      let part = memory.vector(at: end, count: plan.elements)
      end += plan.elements
      if let forward = lists.first {
        lists.append(
          SparseLists(plan, memory: part) { body in
            for i in 0..<forward.order.count {
              body(shape.weight(forward.order[i]).transposed, i)
            }
          })
      } else {
        lists.append(SparseLists(plan, memory: part) { kept.forEach($0) })
      }
    }
    forward = lists[0]
    backward = Array(lists[1...])
    self.memory = memory
  }
}

/// The sizes of a dense array (outputs, inputs, rows, columns).
struct KernelShape: Sendable {
  let inputs: Int
  let rows: Int
  let columns: Int

  /// The weight at an index.
  func weight(_ index: Int32) -> KeptWeight {
    let (rest, column) = Int(index).quotientAndRemainder(dividingBy: columns)
    let (channels, row) = rest.quotientAndRemainder(dividingBy: rows)
    let (output, input) = channels.quotientAndRemainder(dividingBy: inputs)
    return KeptWeight(target: output, source: input, row: row, column: column)
  }
}

/// The kept weights of a mask, while it is compiled.
private final class KeptWeights {
  let shape: KernelShape
  let count: Int
  /// How many there are at each position of the kernel.
  let countsByTap: [Int]
  private let positions: Arena<Int32>

  init(_ mask: Vector<UInt8>, _ shape: KernelShape) throws(SFError) {
    self.shape = shape
    let taps = shape.rows * shape.columns
    var counts = [Int](repeating: 0, count: taps)
    for i in 0..<mask.count where mask[i] != 0 { counts[i % taps] += 1 }
    countsByTap = counts
    count = counts.reduce(0, +)
    positions = try Arena(count: count)
    let positions = positions.all
    var end = 0
    for i in 0..<mask.count where mask[i] != 0 {
      positions[end] = Int32(i)
      end += 1
    }
  }

  /// Calls `body` with each kept weight and its index in the dense array.
  func forEach(_ body: (KeptWeight, Int) -> Void) {
    let positions = positions.all
    for i in 0..<count { body(shape.weight(positions[i]), Int(positions[i])) }
  }

  /// How many have one of the taps.
  func count(_ points: SparsePoints) -> Int {
    points.rows.taps.reduce(0) { sum, row in
      points.columns.taps.reduce(sum) {
        $0 + countsByTap[row.position * shape.columns + $1.position]
      }
    }
  }
}

extension ListPlan {
  fileprivate static func forward(
    _ inputs: Int, _ outputs: Int, _ rows: ConvolutionSide, _ columns: ConvolutionSide,
    _ kept: KeptWeights, _ region: RegionSize
  ) -> [ListPlan] {
    [
      ListPlan(
        rows.forward[0], columns.forward[0], targetWidth: columns.outputs, sources: inputs,
        targets: outputs, kept, region)
    ]
  }

  fileprivate static func backward(
    _ inputs: Int, _ outputs: Int, _ rows: ConvolutionSide, _ columns: ConvolutionSide,
    _ kept: KeptWeights, _ region: RegionSize
  ) -> [ListPlan] {
    rows.backward.flatMap { row in
      columns.backward.map { column in
        ListPlan(
          row, column, targetWidth: columns.inputs, sources: outputs, targets: inputs, kept, region)
      }
    }
  }

  private init(
    _ rows: TapClass, _ columns: TapClass, targetWidth: Int, sources: Int, targets: Int,
    _ kept: KeptWeights, _ region: RegionSize
  ) {
    let points = SparsePoints(rows: rows, columns: columns, targetWidth: targetWidth)
    self.init(
      points: points,
      regions: SparseRegions(
        rows: rows, columns: columns, targetWidth: targetWidth, height: region.rows,
        width: region.columns),
      sources: sources, targets: targets, count: kept.count(points), copies: region.copies)
  }
}
