// Flattening of images to features. What must not live here: other changes of shape.

import SwiftForceCore

/// (channels, height, width) as channels * height * width features.
struct Flatten: Layer {
  let outputShape: Shape
  private let isImage: Bool

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    outputShape = Shape(dimensions: [input.features])
    isImage = input.image != nil
  }

  /// What is no image stays where it is.
  var needs: LayerNeeds {
    LayerNeeds(mayOverwriteInput: !isImage, mayOverwriteGradient: !isImage)
  }

  func forward<Element>(_ pass: Pass<Element>) {
    if !pass.output.elements.isSame(as: pass.input.elements) {
      pass.output.assign(pass.input, pass.context)
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    if !gradient.elements.isSame(as: gradients.outputGradient.elements) {
      gradient.assign(gradients.outputGradient, pass.context)
    }
  }
}
