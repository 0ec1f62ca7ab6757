// Flattening of images to features. What must not live here: other changes of shape.

import SwiftForceCore

/// (channels, height, width) as channels * height * width features. The memory is the same.
struct Flatten: Layer {
  let outputShape: Shape

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    outputShape = Shape(dimensions: [input.features])
  }

  var needs: LayerNeeds { LayerNeeds(mayOverwriteInput: true, mayOverwriteGradient: true) }

  func forward<Element>(_ pass: Pass<Element>) {
    if !pass.output.elements.isSame(as: pass.input.elements) {
      pass.output.elements.assign(pass.input.elements)
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    if !gradient.elements.isSame(as: gradients.outputGradient.elements) {
      gradient.elements.assign(gradients.outputGradient.elements)
    }
  }
}
