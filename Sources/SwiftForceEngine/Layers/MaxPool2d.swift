// Max pooling. What must not live here: other kinds of pooling.

import SwiftForceCore
import SwiftForceKernels

/// y = the largest x of the window; NaN if any is NaN. The gradient goes to the first of the
/// largest numbers in row-major order, as in torch.
struct MaxPool2d: Layer {
  private let channels: Int
  private let windows: PoolWindows

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    (channels, windows) = try description.makeWindows(input)
  }

  var outputShape: Shape { Shape(dimensions: [channels, windows.rows, windows.columns]) }

  var needs: LayerNeeds { LayerNeeds(readsInput: true, readsOutput: true) }

  func forward<Element>(_ pass: Pass<Element>) {
    pass.output.forEachPart(channels: channels, team: pass.context.team) { block, channel in
      pass.output.part(block: block, channel: channel, of: channels).assignMaxima(
        of: pass.input.part(block: block, channel: channel, of: channels), windows,
        lanes: pass.input.lanes)
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let outputGradient = gradients.outputGradient
    gradient.forEachPart(channels: channels, team: pass.context.team) { block, channel in
      gradient.part(block: block, channel: channel, of: channels).assignGradientOfMaxima(
        outputGradient.part(block: block, channel: channel, of: channels),
        output: pass.output.part(block: block, channel: channel, of: channels),
        source: pass.input.part(block: block, channel: channel, of: channels), windows,
        lanes: gradient.lanes)
    }
  }
}
