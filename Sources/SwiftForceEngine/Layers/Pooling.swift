// The windows of pooling layers. What must not live here: what a layer computes from a window.

import SwiftForceCore

/// Square windows as in torch's pooling: no padding, and columns and rows at the right and bottom
/// edges that do not fill a window are ignored.
struct PoolingWindows: Sendable {
  let channels: Int
  let height: Int
  let width: Int
  let kernel: Int
  let stride: Int

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly(\.kernel, \.stride)
    let image = try input.image(for: description.kind)
    (channels, height, width) = image
    (kernel, stride) = (description.kernel, description.stride)
    try checkSize(kernel, "kernel")
    try checkSize(stride, "stride")
    guard kernel <= min(height, width) else {
      throw LayerFault("a window of \(kernel) does not fit into \(height) x \(width)")
    }
  }

  var outputShape: Shape {
    Shape(dimensions: [channels, (height - kernel) / stride + 1, (width - kernel) / stride + 1])
  }

  /// The bytes of the lists of windows' rows, at most.
  func tables(workers: Int) -> Int { workers * (kernel * kernel * 16 + 64) }

  /// Calls `body` for each output of all channels, with the matrix row of the output and the matrix
  /// rows of its window. Channels are divided among the threads.
  func forEach(team: Team, _ body: (_ worker: Int, _ output: Int, _ window: [Int]) -> Void) {
    let (rows, columns) = (outputShape.dimensions[1], outputShape.dimensions[2])
    // Windows may overlap, so one thread handles a whole channel.
    team.forEach(channels) { worker, channel in
      for row in 0..<rows {
        for column in 0..<columns {
          let first = (channel * height + row * stride) * width + column * stride
          let window = (0..<kernel * kernel).map { first + $0 / kernel * width + $0 % kernel }
          body(worker, (channel * rows + row) * columns + column, window)
        }
      }
    }
  }
}

extension Matrix {
  /// One row.
  func row(_ row: Int) -> Vector<Element> { elements.part(row * columns..<(row + 1) * columns) }
}
