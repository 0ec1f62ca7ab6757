// The largest number of each window. What must not live here: other pools.

import SwiftForceCore

/// y = the largest x of the window; NaN where one is NaN. The gradient goes to the first largest one,
/// row by row, as in torch.
struct MaxPool2d: Layer {
  private let windows: PoolingWindows

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    windows = try PoolingWindows(description, input)
  }

  var outputShape: Shape { windows.outputShape }

  var needs: LayerNeeds { LayerNeeds(readsInput: true, readsOutput: true) }

  /// A row for each worker: what remains of a window's gradient.
  func workspace<Element>(batch: Int, _ means: Means<Element>) -> Int {
    batch * means.team.workers
  }

  func forward<Element>(_ pass: Pass<Element>) {
    windows.forEach(team: pass.means.team) { _, output, window in
      let target = pass.output.row(output)
      target.assign(pass.input.row(window[0]))
      for row in window.dropFirst() { target.keepMaximum(pass.input.row(row)) }
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let batch = pass.output.columns
    gradient.elements.clear(0..<gradient.elements.count)
    windows.forEach(team: pass.means.team) { worker, output, window in
      let remaining = pass.workspace.part(worker * batch..<(worker + 1) * batch)
      remaining.assign(gradients.outputGradient.row(output))
      for row in window {
        gradient.row(row).take(
          remaining, maximum: pass.output.row(output), source: pass.input.row(row))
      }
    }
  }
}
