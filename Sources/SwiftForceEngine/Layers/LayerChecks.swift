// The error of an impossible layer, and the checks that several layers share. What must not live
// here: checks of one kind of layer.

/// Why a layer is impossible. The text follows the layer's position in messages.
struct LayerFault: Error, Equatable {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}

/// Throws unless a size is in 1 ... 2^31 - 1.
func checkSize(_ size: Int, _ name: String) throws(LayerFault) {
  guard Architecture.validSizes.contains(size) else {
    throw LayerFault("\(name) must be in 1 ... \(Architecture.validSizes.upperBound), not \(size)")
  }
}

extension Shape {
  /// The image that a layer of this kind reads.
  func image(for kind: LayerKind) throws(LayerFault) -> (channels: Int, height: Int, width: Int) {
    guard let image else {
      throw LayerFault(
        "\(kind.name) expects (channels, height, width) but receives \(features) features")
    }
    return image
  }
}
