// The mean of each channel. What must not live here: pools with windows.

import SwiftForceCore

/// y = the mean of the channel's x: from (channels, height, width) to (channels).
struct GlobalAvgPool2d: Layer {
  private let channels: Int
  private let places: Int

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    let image = try input.image(for: .globalAvgPool2d)
    (channels, places) = (image.channels, image.height * image.width)
  }

  var outputShape: Shape { Shape(dimensions: [channels]) }

  var needs: LayerNeeds { LayerNeeds() }

  func forward<Element>(_ pass: Pass<Element>) {
    pass.means.team.forEach(channels) { _, channel in
      let target = pass.output.row(channel)
      target.assign(pass.input.row(channel * places), times: 1 / Element(places))
      for place in 1..<max(places, 1) {
        target.add(pass.input.row(channel * places + place), times: 1 / Element(places))
      }
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    pass.means.team.forEach(channels) { _, channel in
      for place in 0..<places {
        gradient.row(channel * places + place).assign(
          gradients.outputGradient.row(channel), times: 1 / Element(places))
      }
    }
  }
}
