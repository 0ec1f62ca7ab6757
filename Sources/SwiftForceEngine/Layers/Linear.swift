// The linear layer. What must not live here: other layers.

import SwiftForceCore

/// y = W x + b for every sample: Y(outputs, lanes) = W(outputs, inputs) X(inputs, lanes) + b.
///
/// Parameters: the weight (outputs, inputs), prunable, and the bias (outputs) if it has one. An
/// image is treated as its features, which are copied if it has several blocks.
struct Linear: Layer {
  private let inputShape: Shape
  let inputs: Int
  let outputs: Int
  let hasBias: Bool

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly(\.inputs, \.outputs, \.hasBias)
    (inputs, outputs) = (description.inputs, description.outputs)
    hasBias = description.hasBias
    inputShape = input
    try checkSize(inputs, "inputs")
    try checkSize(outputs, "outputs")
    guard inputs == input.features else {
      throw LayerFault("expects \(inputs) input features but receives \(input.features)")
    }
  }

  var outputShape: Shape { Shape(dimensions: [outputs]) }

  var needs: LayerNeeds { LayerNeeds(readsInput: true) }

  var sparseSizes: SparseSizes? {
    SparseSizes(inputs: inputs, outputs: outputs, rows: side, columns: side)
  }

  /// Either axis of an image of one position.
  private var side: ConvolutionSide {
    ConvolutionSide(inputs: 1, kernel: 1, stride: 1, padding: 0)
  }

  var parameters: [ParameterDescription] {
    let weight = ParameterDescription(role: .weight, shape: [outputs, inputs], fanIn: inputs)
    return hasBias ? [weight, ParameterDescription(role: .bias, shape: [outputs])] : [weight]
  }

  /// The features of an image, or those of few samples.
  func workspace<Element>(batch: Int, _ context: ExecutionContext<Element>) -> Int {
    if SparseSizes.usesPlanes(samples: batch) {
      return PlaneGeometry(rows: side, columns: side).workspace(inputs: inputs, batch: batch)
    }
    return inputShape.lanes(batch: batch) < batch ? inputs * Shape.padded(batch: batch) : 0
  }

  /// One product, added to the bias.
  func forward<Element>(_ pass: Pass<Element>) {
    if let sparse = pass.sparse(isFlat: true), let values = pass.sparse?.values {
      sparse.forward(
        input(of: pass).elements, values: values, bias: hasBias ? pass.parameters[1] : nil,
        into: pass.output.elements)
      return
    }
    if let planes = pass.planes, let values = pass.sparse?.values {
      planes.run(
        pass.input.elements, values: values, bias: hasBias ? pass.parameters[1] : nil,
        workspace: pass.workspace, into: pass.output.elements)
      return
    }
    let output = pass.output.elements.matrix(rows: outputs, columns: pass.output.lanes)
    if hasBias { output.fillColumns(with: pass.parameters[1]) }
    output.assignProduct(
      weight(of: pass).asStored, input(of: pass).asStored, accumulate: hasBias,
      team: pass.context.team)
  }

  /// dW = dY X^T, db = the row sums of dY, dX = W^T dY.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    let outputGradient = gradients.outputGradient.elements.matrix(
      rows: outputs, columns: pass.output.lanes)
    if let gradient = gradients.keptGradient {
      pass.sparse(isFlat: true)?.weightGradient(
        input(of: pass).elements, outputGradient: outputGradient.elements,
        accumulate: gradients.accumulates, into: gradient)
    } else if let gradient = gradients.parameterGradients[0] {
      gradient.matrix(rows: outputs, columns: inputs).assignProduct(
        outputGradient.asStored, input(of: pass).transposed, accumulate: gradients.accumulates,
        team: pass.context.team)
    }
    if hasBias, let gradient = gradients.parameterGradients[1] {
      gradient.assignChannelSums(
        of: gradients.outputGradient, accumulate: gradients.accumulates)
    }
    guard let gradient = gradients.inputGradient else { return }
    let copy = gradient.matrix == nil ? features(of: gradient, pass) : nil
    let target = copy ?? gradient
    if let sparse = pass.sparse(isFlat: true), let layer = pass.sparse {
      sparse.inputGradient(
        outputGradient.elements, values: layer.values, workspace: layer.scratch.all,
        into: target.elements)
    } else {
      target.elements.matrix(rows: inputs, columns: target.lanes).assignProduct(
        weight(of: pass).transposed, outputGradient.asStored, accumulate: false,
        team: pass.context.team)
    }
    if let copy { gradient.assign(copy, pass.context) }
  }

  /// The input as (inputs, lanes), a copy if it has several blocks.
  private func input<Element>(of pass: Pass<Element>) -> Matrix<Element> {
    if let matrix = pass.input.matrix { return matrix }
    let copy = features(of: pass.input, pass)
    copy.assign(pass.input, pass.context)
    return copy.elements.matrix(rows: inputs, columns: copy.lanes)
  }

  /// Scratch memory for the features of an image.
  private func features<Element>(
    of image: Activation<Element>, _ pass: Pass<Element>
  ) -> Activation<Element> {
    Activation(
      pass.workspace.part(0..<image.elements.count), shape: Shape(dimensions: [inputs]),
      batch: image.batch)
  }

  private func weight<Element>(of pass: Pass<Element>) -> Matrix<Element> {
    pass.parameters[0].matrix(rows: outputs, columns: inputs)
  }
}
