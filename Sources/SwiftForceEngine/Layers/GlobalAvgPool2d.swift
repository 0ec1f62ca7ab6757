// Global average pooling. What must not live here: pooling with windows.

import SwiftForceCore

/// y = the mean of all x of a channel: from (channels, height, width) to (channels).
struct GlobalAvgPool2d: Layer {
  private let channels: Int

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    let image = try input.image(for: .globalAvgPool2d)
    channels = image.channels
  }

  var outputShape: Shape { Shape(dimensions: [channels]) }

  var needs: LayerNeeds { LayerNeeds() }

  func forward<Element>(_ pass: Pass<Element>) {
    let lanes = pass.input.lanes
    pass.input.forEachPart(channels: channels, team: pass.context.team) { block, channel in
      samples(ofBlock: block, lanes, channel, of: pass.output).assignMean(
        of: pass.input.part(block: block, channel: channel, of: channels), lanes: lanes)
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let lanes = gradient.lanes
    gradient.forEachPart(channels: channels, team: pass.context.team) { block, channel in
      gradient.part(block: block, channel: channel, of: channels).assignGradientOfMean(
        samples(ofBlock: block, lanes, channel, of: gradients.outputGradient), lanes: lanes)
    }
  }

  /// The means of one channel for the samples of a block of the image.
  private func samples<Element>(
    ofBlock block: Int, _ lanes: Int, _ channel: Int, of means: Activation<Element>
  ) -> Vector<Element> {
    let start = channel * means.lanes + block * lanes
    return means.elements.part(start..<start + lanes)
  }
}
