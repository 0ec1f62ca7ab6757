// Global average pooling. What must not live here: pooling with windows.

import SwiftForceCore

/// y = the mean of all x of a channel: from (channels, height, width) to (channels).
struct GlobalAvgPool2d: Layer {
  private let channels: Int
  private let positions: Int

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    let image = try input.image(for: .globalAvgPool2d)
    (channels, positions) = (image.channels, image.height * image.width)
  }

  var outputShape: Shape { Shape(dimensions: [channels]) }

  var needs: LayerNeeds { LayerNeeds() }

  func forward<Element>(_ pass: Pass<Element>) {
    pass.context.team.forEach(channels) { _, channel in
      let target = pass.output.row(channel)
      target.assign(pass.input.row(channel * positions), times: 1 / Element(positions))
      for position in 1..<max(positions, 1) {
        target.add(pass.input.row(channel * positions + position), times: 1 / Element(positions))
      }
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    pass.context.team.forEach(channels) { _, channel in
      for position in 0..<positions {
        gradient.row(channel * positions + position).assign(
          gradients.outputGradient.row(channel), times: 1 / Element(positions))
      }
    }
  }
}
