// The rectifier. What must not live here: other activation functions, which have their own files.

import SwiftForceCore

/// y = max(x, 0), element by element; NaN stays NaN. The gradient at zero is zero.
struct ReLU: Layer {
  let outputShape: Shape
  /// Whether the batch normalisation before it computes it, in the same memory, forward and backward.
  var isFused = false

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    outputShape = input
  }

  var needs: LayerNeeds {
    LayerNeeds(mayOverwriteInput: true, mayOverwriteGradient: true, readsOutput: !isFused)
  }

  func forward<Element>(_ pass: Pass<Element>) {
    guard !isFused else {
      precondition(pass.input.elements.isSame(as: pass.output.elements), "another memory")
      return
    }
    pass.forEachPart { part in
      pass.output.elements.part(part).assignRectified(pass.input.elements.part(part))
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    guard !isFused else {
      precondition(
        gradient.elements.isSame(as: gradients.outputGradient.elements), "another memory")
      return
    }
    pass.forEachPart { part in
      gradient.elements.part(part).assignRectifierGradient(
        gradients.outputGradient.elements.part(part), output: pass.output.elements.part(part))
    }
  }
}

extension Pass {
  /// Divides the elements of the output among the threads.
  func forEachPart(_ body: (Range<Int>) -> Void) {
    let size = 1 << 16
    let count = output.elements.count
    context.team.forEach((count + size - 1) / size) { _, round in
      body(round * size..<min((round + 1) * size, count))
    }
  }
}
