// Average pooling. What must not live here: other kinds of pooling.

import SwiftForceCore

/// y = the mean of the x in a window.
struct AvgPool2d: Layer {
  private let windows: PoolingWindows

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    windows = try PoolingWindows(description, input)
  }

  var outputShape: Shape { windows.outputShape }

  var needs: LayerNeeds { LayerNeeds() }

  func tables(batch: Int, workers: Int) -> Int { windows.tables(workers: workers) }

  func forward<Element>(_ pass: Pass<Element>) {
    let weight = 1 / Element(windows.kernel * windows.kernel)
    windows.forEach(team: pass.context.team) { _, output, window in
      let target = pass.output.row(output)
      target.assign(pass.input.row(window[0]), times: weight)
      for row in window.dropFirst() { target.add(pass.input.row(row), times: weight) }
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let weight = 1 / Element(windows.kernel * windows.kernel)
    gradient.elements.clear(0..<gradient.elements.count)
    windows.forEach(team: pass.context.team) { _, output, window in
      for row in window {
        gradient.row(row).add(gradients.outputGradient.row(output), times: weight)
      }
    }
  }
}
