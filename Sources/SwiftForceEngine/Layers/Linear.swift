// The linear layer. What must not live here: other layers.

import SwiftForceCore

/// y = W x + b for every sample: Y(outputs, batch) = W(outputs, inputs) X(inputs, batch) + b.
///
/// Parameters: the weight (outputs, inputs), prunable, and the bias (outputs) if it has one. An
/// image is treated as its features.
struct Linear: Layer {
  let inputs: Int
  let outputs: Int
  let hasBias: Bool

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly(\.inputs, \.outputs, \.hasBias)
    (inputs, outputs) = (description.inputs, description.outputs)
    hasBias = description.hasBias
    try checkSize(inputs, "inputs")
    try checkSize(outputs, "outputs")
    guard inputs == input.features else {
      throw LayerFault("expects \(inputs) input features but receives \(input.features)")
    }
  }

  var outputShape: Shape { Shape(dimensions: [outputs]) }

  var needs: LayerNeeds { LayerNeeds(readsInput: true) }

  var parameters: [ParameterDescription] {
    let weight = ParameterDescription(role: .weight, shape: [outputs, inputs], fanIn: inputs)
    return hasBias ? [weight, ParameterDescription(role: .bias, shape: [outputs])] : [weight]
  }

  /// One product, added to the bias.
  func forward<Element>(_ pass: Pass<Element>) {
    if hasBias { pass.output.fillColumns(with: pass.parameters[1]) }
    pass.output.assignProduct(
      weight(of: pass).asStored, pass.input.asStored, accumulate: hasBias,
      team: pass.context.team)
  }

  /// dW = dY X^T, db = the row sums of dY, dX = W^T dY.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    let outputGradient = gradients.outputGradient
    if let gradient = gradients.parameterGradients[0] {
      gradient.matrix(rows: outputs, columns: inputs).assignProduct(
        outputGradient.asStored, pass.input.transposed, accumulate: gradients.accumulates,
        team: pass.context.team)
    }
    if hasBias, let gradient = gradients.parameterGradients[1] {
      gradient.assignRowSums(of: outputGradient, accumulate: gradients.accumulates)
    }
    if let gradient = gradients.inputGradient {
      gradient.assignProduct(
        weight(of: pass).transposed, outputGradient.asStored, accumulate: false,
        team: pass.context.team)
    }
  }

  private func weight<Element>(of pass: Pass<Element>) -> Matrix<Element> {
    pass.parameters[0].matrix(rows: outputs, columns: inputs)
  }
}
