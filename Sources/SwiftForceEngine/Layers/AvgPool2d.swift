// Average pooling. What must not live here: other kinds of pooling.

import SwiftForceCore
import SwiftForceKernels

/// y = the mean of the x in a window.
struct AvgPool2d: Layer {
  private let channels: Int
  private let windows: PoolWindows

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    (channels, windows) = try description.makeWindows(input)
  }

  var outputShape: Shape { Shape(dimensions: [channels, windows.rows, windows.columns]) }

  var needs: LayerNeeds { LayerNeeds() }

  func forward<Element>(_ pass: Pass<Element>) {
    pass.output.forEachPart(channels: channels, team: pass.context.team) { block, channel in
      pass.output.part(block: block, channel: channel, of: channels).assignMeans(
        of: pass.input.part(block: block, channel: channel, of: channels), windows,
        lanes: pass.input.lanes)
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let outputGradient = gradients.outputGradient
    gradient.forEachPart(channels: channels, team: pass.context.team) { block, channel in
      gradient.part(block: block, channel: channel, of: channels).assignGradientOfMeans(
        outputGradient.part(block: block, channel: channel, of: channels), windows,
        lanes: gradient.lanes)
    }
  }
}
