// The rectifier. What must not live here: other activation functions; each gets a file of its own.

import SwiftForceCore

/// y = max(x, 0), element by element; NaN stays NaN. The gradient at zero is zero.
struct ReLU: Layer {
  init(_ description: LayerDescription, at position: Int) throws(SFError) {
    guard description.inputs == 0, description.outputs == 0 else {
      throw .badArchitecture(layer: position, reason: "relu keeps its input's size and takes none")
    }
  }

  var inputShape: Shape? { nil }
  var parameters: [ParameterDescription] { [] }

  func outputShape(for input: Shape) -> Shape { input }

  func forward<Element>(_ pass: Pass<Element>) {
    pass.output.elements.assignRectified(pass.input.elements)
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    gradients.inputGradient?.elements.assignRectifierGradient(
      gradients.outputGradient.elements, output: pass.output.elements)
  }
}
