// The sum of two values, for residual connections. What must not live here: other ways to combine
// layers.

import SwiftForceCore

/// y = a + b, for two values of the same shape.
struct Add: Layer {
  let outputShape: Shape

  init(_ description: LayerDescription, _ inputs: [Shape]) throws(LayerFault) {
    try description.allowOnly()
    guard inputs[0] == inputs[1] else {
      throw LayerFault("cannot add shapes \(inputs[0].dimensions) and \(inputs[1].dimensions)")
    }
    outputShape = inputs[0]
  }

  var needs: LayerNeeds { LayerNeeds(mayOverwriteInput: true, mayOverwriteGradient: true) }

  func forward<Element>(_ pass: Pass<Element>) {
    guard let addend = pass.addend else { return }
    pass.forEachPart { part in
      pass.output.elements.part(part).assignSum(
        pass.input.elements.part(part), addend.elements.part(part))
    }
  }

  /// The addend's gradient is copied first: the input's may overwrite the output's.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    for gradient in [gradients.addendGradient, gradients.inputGradient] {
      guard let gradient else { continue }
      pass.forEachPart { part in
        let source = gradients.outputGradient.elements.part(part)
        if !gradient.elements.isSame(as: gradients.outputGradient.elements) {
          gradient.elements.part(part).assign(source)
        }
      }
    }
  }
}
