// Where the positions of a convolution lie in images that are flattened with their padding. What
// must not live here: kept weights, samples, memory.

/// One axis of an image that is divided into planes: plane p holds the positions that taps p, p +
/// stride, ... read, those of padding included.
struct PlaneAxis: Sendable {
  let side: ConvolutionSide

  /// The number of planes.
  var planes: Int { min(side.stride, side.kernel) }

  /// By how many positions the last tap of a plane is shifted.
  func reach(_ plane: Int) -> Int { (side.kernel - 1 - plane) / side.stride }

  /// The positions of a plane that are no padding.
  func positions(_ plane: Int) -> Range<Int> {
    func ceiling(_ n: Int) -> Int { n <= 0 ? 0 : (n + side.stride - 1) / side.stride }
    let first = ceiling(side.padding - plane)
    let end = min(ceiling(side.inputs + side.padding - plane), side.outputs + reach(plane))
    return first..<max(first, end)
  }

  /// The index in the image of a position.
  func source(_ position: Int, _ plane: Int) -> Int {
    side.stride * position + plane - side.padding
  }
}

/// The sizes of the planes of one channel, for one sample.
///
/// Rows of a plane lie `pitch` positions apart, so that each tap of all outputs is one shift. The
/// padding at the end of a row is also that at the beginning of the next.
struct PlaneGeometry: Sendable {
  let rows: PlaneAxis
  let columns: PlaneAxis
  let pitch: Int
  let planeLength: Int

  init(rows: ConvolutionSide, columns: ConvolutionSide) {
    self.rows = PlaneAxis(side: rows)
    self.columns = PlaneAxis(side: columns)
    let axis = self.columns
    var pitch = columns.outputs
    for plane in 0..<axis.planes {
      let positions = axis.positions(plane)
      pitch = max(
        pitch, positions.upperBound, columns.outputs + axis.reach(plane) - positions.lowerBound)
    }
    self.pitch = pitch
    planeLength =
      (rows.outputs + self.rows.reach(0)) * pitch
      + max(0, columns.outputs + axis.reach(0) - pitch)
  }

  var channelLength: Int { rows.planes * columns.planes * planeLength }

  /// Positions from the first output to the last, with the gaps between rows.
  var outputs: Int { (rows.side.outputs - 1) * pitch + columns.side.outputs }

  /// Where a position of the kernel reads, in the planes of a channel.
  func offset(row: Int, column: Int) -> Int {
    let (down, firstRow) = row.quotientAndRemainder(dividingBy: rows.side.stride)
    let (right, firstColumn) = column.quotientAndRemainder(dividingBy: columns.side.stride)
    return (firstRow * columns.planes + firstColumn) * planeLength + down * pitch + right
  }

  /// Whether the only plane is the image itself.
  var isImage: Bool { channelLength == rows.side.inputs * columns.side.inputs && hasOneTap }

  private var hasOneTap: Bool {
    rows.side.kernel * columns.side.kernel * rows.side.stride * columns.side.stride == 1
  }

  /// Whether all offsets of so many channels fit into 32 bits.
  func supports(inputs: Int) -> Bool {
    Double(inputs) * Double(channelLength) < Double(Int32.max)
  }

  /// Elements of scratch memory for the planes, and for what is read behind them.
  func workspace(inputs: Int, batch: Int) -> Int {
    if isLinear(inputs: inputs) { return FewSampleProduct<Float>.workspace(inputs: inputs) }
    return inputs * channelLength * batch + PlaneGeometry.slack
  }

  /// Whether these are the images of a linear layer that `FewSampleProduct` computes.
  func isLinear(inputs: Int) -> Bool {
    isImage && channelLength == 1 && inputs <= FewSampleProduct<Float>.inputsLimit
  }

  /// Elements that the last piece of eight may read behind the planes.
  static var slack: Int { 16 }
}
