// The windows of pooling layers. What must not live here: what a layer computes from a window.

import SwiftForceKernels

extension LayerDescription {
  /// The number of channels, and square windows as in torch's pooling: no padding, and columns and
  /// rows at the right and bottom edges that do not fill a window are ignored.
  func makeWindows(_ input: Shape) throws(LayerFault) -> (channels: Int, windows: PoolWindows) {
    try allowOnly(\.kernel, \.stride)
    let image = try input.image(for: kind)
    try checkSize(kernel, "kernel")
    try checkSize(stride, "stride")
    guard kernel <= min(image.height, image.width) else {
      throw LayerFault("a window of \(kernel) does not fit into \(image.height) x \(image.width)")
    }
    let windows = PoolWindows(
      height: image.height, width: image.width, kernel: kernel, stride: stride)
    return (image.channels, windows)
  }
}
