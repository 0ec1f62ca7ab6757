// The linear layer. What must not live here: other layers.

import SwiftForceCore

/// y = W x + b for every sample: Y(outputs, batch) = W(outputs, inputs) X(inputs, batch) + b.
///
/// Parameters: the weight (outputs, inputs), prunable, and the bias (outputs).
struct Linear: Layer {
  /// BLAS takes its sizes as 32-bit integers.
  static let sizes = 1...Int(Int32.max)

  let inputs: Int
  let outputs: Int

  init(_ description: LayerDescription, at position: Int) throws(SFError) {
    (inputs, outputs) = (description.inputs, description.outputs)
    for (name, size) in [("inputs", inputs), ("outputs", outputs)]
    where !Linear.sizes.contains(size) {
      let reason = "linear \(name) must be in 1 ... \(Linear.sizes.upperBound), not \(size)"
      throw .badArchitecture(layer: position, reason: reason)
    }
  }

  var inputShape: Shape? { Shape(dimensions: [inputs]) }

  var parameters: [ParameterDescription] {
    [
      ParameterDescription(role: .weight(fanIn: inputs), shape: [outputs, inputs]),
      ParameterDescription(role: .bias, shape: [outputs]),
    ]
  }

  func outputShape(for input: Shape) -> Shape { Shape(dimensions: [outputs]) }

  /// One product, on top of the bias.
  func forward<Element>(_ pass: Pass<Element>) {
    pass.output.fillColumns(with: pass.parameters[1])
    pass.output.assignProduct(
      weight(of: pass).asStored, pass.input.asStored, accumulate: true)
  }

  /// dW = dY X^T, db = the sums of dY's rows, dX = W^T dY.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    let outputGradient = gradients.outputGradient
    if let gradient = gradients.parameterGradients[0] {
      gradient.matrix(rows: outputs, columns: inputs).assignProduct(
        outputGradient.asStored, pass.input.transposed, accumulate: gradients.accumulates)
    }
    if let gradient = gradients.parameterGradients[1] {
      gradient.assignRowSums(of: outputGradient, accumulate: gradients.accumulates)
    }
    if let gradient = gradients.inputGradient {
      gradient.assignProduct(
        weight(of: pass).transposed, outputGradient.asStored, accumulate: false)
    }
  }

  private func weight<Element>(of pass: Pass<Element>) -> Matrix<Element> {
    pass.parameters[0].matrix(rows: outputs, columns: inputs)
  }
}
