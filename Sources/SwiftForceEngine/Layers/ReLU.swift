// The rectifier. What must not live here: other activation functions, which have their own files.

import SwiftForceCore

/// y = max(x, 0), element by element; NaN stays NaN. The gradient at zero is zero.
struct ReLU: Layer {
  let outputShape: Shape
  /// Whether the layer before has done it, in the same memory, forward and backward.
  var isDone = false

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly()
    outputShape = input
  }

  var needs: LayerNeeds {
    LayerNeeds(mayOverwriteInput: true, mayOverwriteGradient: true, readsOutput: !isDone)
  }

  func forward<Element>(_ pass: Pass<Element>) {
    guard !isDone else {
      assert(pass.input.elements.isSame(as: pass.output.elements), "a copy of a rectified output")
      return
    }
    pass.forEachPart { part in
      pass.output.elements.part(part).assignRectified(pass.input.elements.part(part))
    }
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    guard let gradient = gradients.inputGradient else { return }
    guard !isDone else {
      assert(
        gradient.elements.isSame(as: gradients.outputGradient.elements), "a copy of a gradient")
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
