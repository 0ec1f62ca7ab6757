// Where what belongs to trained parameters lies: masks, gradients and momentum of those that are
// trained as a whole. What must not live here: the parameters themselves (Parameters.swift), and what
// belongs to kept weights alone (SparseLayer.swift).

import SwiftForceCore

/// The offsets of an array that has an element per parameter that is trained as a whole.
struct TrainedLayout: Sendable {
  /// Where adjacent parameters lie among the trained ones, and where what belongs to them does.
  struct Run: Sendable {
    let parameters: Range<Int>
    let start: Int

    /// The elements of the array.
    var elements: Range<Int> { start..<start + parameters.count }
  }

  let runs: [Run]
  /// Elements of the array, including the gaps between tensors.
  let count: Int
  private let layout: ParameterLayout
  /// Where each tensor of the layout begins; nil if it is not here.
  private let offsets: [Int?]

  /// - Parameter left: the tensors of the layout of which only kept weights are trained.
  init(_ layout: ParameterLayout, without left: Set<Int> = []) {
    var runs: [Run] = []
    var offsets = [Int?](repeating: nil, count: layout.entries.count)
    var count = 0
    let entries = layout.entries.enumerated().sorted { $0.element.offset < $1.element.offset }
    for (i, entry) in entries where entry.description.role.isTrained && !left.contains(i) {
      let length = entry.count.roundedUp(toMultipleOf: ParameterLayout.alignment)
      let range = entry.offset..<entry.offset + length
      offsets[i] = count
      if let last = runs.last, last.parameters.upperBound == range.lowerBound {
        runs[runs.count - 1] = Run(
          parameters: last.parameters.lowerBound..<range.upperBound, start: last.start)
      } else {
        runs.append(Run(parameters: range, start: count))
      }
      count += length
    }
    (self.runs, self.offsets, self.count, self.layout) = (runs, offsets, count, layout)
  }

  /// A view for each tensor of the parameters' layout; nil if it is not here.
  func views<Value>(of arena: Arena<Value>) -> [Vector<Value>?] {
    layout.entries.indices.map { view(of: arena, $0) }
  }

  /// A view for the tensor at an index of the parameters' layout; nil if it is not here.
  func view<Value>(of arena: Arena<Value>, _ index: Int) -> Vector<Value>? {
    offsets[index].map { arena.vector(at: $0, count: layout.entries[index].count) }
  }
}
