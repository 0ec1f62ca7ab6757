// Max pooling. What must not live here: other kinds of pooling.

import SwiftForceCore

/// y = the largest x of the window; NaN if any is NaN. The gradient goes to the first of the
/// largest numbers in row-major order, as in torch.
struct MaxPool2d: Layer {
  private let windows: PoolingWindows

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    windows = try PoolingWindows(description, input)
  }

  var outputShape: Shape { windows.outputShape }

  var needs: LayerNeeds { LayerNeeds(readsInput: true, readsOutput: true) }

  /// One row for each worker: the part of a window's gradient that is not yet assigned.
  func workspace<Element>(batch: Int, _ context: ExecutionContext<Element>) -> Int {
    batch * context.team.workers
  }

  func tables(batch: Int, workers: Int) -> Int { windows.tables(workers: workers) }

  func forward<Element>(_ pass: Pass<Element>) {
    windows.forEach(team: pass.context.team) { _, output, window in
      let target = pass.output.row(output)
      target.assign(pass.input.row(window[0]))
      for row in window.dropFirst() { target.keepMaximum(pass.input.row(row)) }
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    let batch = pass.output.columns
    gradient.elements.clear(0..<gradient.elements.count)
    windows.forEach(team: pass.context.team) { worker, output, window in
      let remaining = pass.workspace.part(worker * batch..<(worker + 1) * batch)
      remaining.assign(gradients.outputGradient.row(output))
      for row in window {
        gradient.row(row).addGradientOfMaximum(
          remaining, maximum: pass.output.row(output), source: pass.input.row(row))
      }
    }
  }
}
