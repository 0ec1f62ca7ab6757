// The mean of each window. What must not live here: other pools.

import SwiftForceCore

/// y = the mean of the window's x.
struct AvgPool2d: Layer {
  private let windows: PoolingWindows

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    windows = try PoolingWindows(description, input)
  }

  var outputShape: Shape { windows.outputShape }

  var needs: LayerNeeds { LayerNeeds() }

  func forward<Element>(_ pass: Pass<Element>) {
    let share = 1 / Element(windows.kernel * windows.kernel)
    windows.forEach(team: pass.means.team) { _, output, window in
      let target = pass.output.row(output)
      target.assign(pass.input.row(window[0]), times: share)
      for row in window.dropFirst() { target.add(pass.input.row(row), times: share) }
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let share = 1 / Element(windows.kernel * windows.kernel)
    gradient.elements.clear(0..<gradient.elements.count)
    windows.forEach(team: pass.means.team) { _, output, window in
      for row in window {
        gradient.row(row).add(gradients.outputGradient.row(output), times: share)
      }
    }
  }
}
