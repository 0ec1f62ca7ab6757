// The two-dimensional convolution layer. What must not live here: the algorithms (Convolution/).

import SwiftForceCore

/// y[o] = b[o] + the sum over channels i and kernel positions of w[o, i] x[i], as in torch's
/// Conv2d: the kernel is not flipped, and the image is padded with zeros.
///
/// Parameters: the weight (outputs, inputs / groups, kernel, kernel), prunable, and the bias
/// (outputs) if it has one. Groups are 1, or the number of channels.
struct Conv2d: Layer {
  let inputs: Int
  let outputs: Int
  let hasBias: Bool
  let isDepthwise: Bool
  let rows: ConvolutionSide
  let columns: ConvolutionSide

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly(
      \.inputs, \.outputs, \.hasBias, \.kernel, \.stride, \.padding, \.groups)
    let image = try input.image(for: .conv2d)
    (inputs, outputs) = (description.inputs, description.outputs)
    hasBias = description.hasBias
    try checkSize(inputs, "input channels")
    try checkSize(outputs, "output channels")
    try checkSize(description.kernel, "kernel")
    try checkSize(description.stride, "stride")
    guard inputs == image.channels else {
      throw LayerFault("expects \(inputs) input channels but receives \(image.channels)")
    }
    isDepthwise = description.groups != 1
    guard !isDepthwise || description.groups == inputs && inputs == outputs else {
      throw LayerFault(
        "groups must be 1, or as many as the input and output channels, not \(description.groups)")
    }
    guard (0..<description.kernel).contains(description.padding) else {
      throw LayerFault("padding must be in 0 ..< kernel, not \(description.padding)")
    }
    func side(_ inputs: Int) -> ConvolutionSide {
      ConvolutionSide(
        inputs: inputs, kernel: description.kernel, stride: description.stride,
        padding: description.padding)
    }
    (rows, columns) = (side(image.height), side(image.width))
    for side in [rows, columns] where side.inputs + 2 * side.padding < side.kernel {
      throw LayerFault(
        "a kernel of \(side.kernel) does not fit into \(side.inputs) with padding \(side.padding)")
    }
    try checkWeights()
  }

  private func checkWeights() throws(LayerFault) {
    var count = outputs
    for size in [isDepthwise ? 1 : inputs, rows.kernel, columns.kernel] {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow, product <= Architecture.elementLimit else {
        throw LayerFault("more than \(Architecture.elementLimit) weights")
      }
      count = product
    }
    guard outputs <= Architecture.elementLimit / (rows.outputs * columns.outputs) else {
      throw LayerFault("more than \(Architecture.elementLimit) outputs")
    }
  }

  var outputShape: Shape { Shape(dimensions: [outputs, rows.outputs, columns.outputs]) }

  var needs: LayerNeeds { LayerNeeds(readsInput: true) }

  var sparseSizes: SparseSizes? {
    isDepthwise ? nil : SparseSizes(inputs: inputs, outputs: outputs, rows: rows, columns: columns)
  }

  var parameters: [ParameterDescription] {
    let fan = (isDepthwise ? 1 : inputs) * taps
    let weight = ParameterDescription(
      role: .weight,
      shape: [outputs, isDepthwise ? 1 : inputs, rows.kernel, columns.kernel], fanIn: fan)
    return hasBias ? [weight, ParameterDescription(role: .bias, shape: [outputs])] : [weight]
  }

  private var taps: Int { rows.kernel * columns.kernel }

  func workspace<Element>(batch: Int, _ context: ExecutionContext<Element>) -> Int {
    if isDepthwise { return 0 }
    return max(
      outputProduct(batch: batch, context).workspace, inputProduct(batch: batch, context).workspace,
      weightGradient(batch: batch, context).workspace, planes(batch: batch))
  }

  /// Elements of scratch memory for outputs of few samples over kept weights.
  private func planes(batch: Int) -> Int {
    guard SparseSizes.usesPlanes(samples: batch) else { return 0 }
    return PlaneGeometry(rows: rows, columns: columns).workspace(inputs: inputs, batch: batch)
  }

  func tables(batch: Int, workers: Int) -> Int {
    if isDepthwise { return Depthwise.tables(rows, columns) }
    func plan(isForward: Bool) -> Int {
      StripPlan.tables(
        rows, columns, isForward: isForward, batch: batch,
        length: StripProduct<Float>.length(targets: isForward ? outputs : inputs))
    }
    return plan(isForward: true) + plan(isForward: false)
      + workers * WeightGradient<Float>.tables(taps)
  }

  func forward<Element>(_ pass: Pass<Element>) {
    let bias = hasBias ? pass.parameters[1] : nil
    if isDepthwise {
      depthwise.forward(
        pass.input, weights: pass.parameters[0], bias: bias, team: pass.context.team,
        into: pass.output)
      return
    }
    if let sparse = pass.sparse(isFlat: false), let values = pass.sparse?.values {
      sparse.forward(pass.input.elements, values: values, bias: bias, into: pass.output.elements)
      return
    }
    if let planes = pass.planes, let values = pass.sparse?.values {
      planes.run(
        pass.input.elements, values: values, bias: bias, workspace: pass.workspace,
        into: pass.output.elements)
      return
    }
    let product = outputProduct(batch: pass.input.batch, pass.context)
    product.pack(pass.parameters[0], isTransposed: false, into: pass.workspace)
    product.run(
      pass.input.elements, bias: bias, workspace: pass.workspace, into: pass.output.elements)
  }

  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    let outputGradient = gradients.outputGradient
    if let gradient = gradients.keptGradient {
      pass.sparse(isFlat: false)?.weightGradient(
        pass.input.elements, outputGradient: outputGradient.elements,
        accumulate: gradients.accumulates, into: gradient)
    } else if let gradient = gradients.parameterGradients[0] {
      if isDepthwise {
        depthwise.weightGradient(
          pass.input, outputGradient: outputGradient, team: pass.context.team,
          accumulate: gradients.accumulates, into: gradient)
      } else {
        weightGradient(batch: pass.input.batch, pass.context).run(
          pass.input.elements, outputGradient: outputGradient.elements, workspace: pass.workspace,
          accumulate: gradients.accumulates, into: gradient)
      }
    }
    if hasBias, let gradient = gradients.parameterGradients[1] {
      gradient.assignChannelSums(of: outputGradient, accumulate: gradients.accumulates)
    }
    guard let gradient = gradients.inputGradient else { return }
    if isDepthwise {
      depthwise.inputGradient(
        outputGradient, weights: pass.parameters[0], team: pass.context.team, into: gradient)
      return
    }
    if let sparse = pass.sparse(isFlat: false), let layer = pass.sparse {
      sparse.inputGradient(
        outputGradient.elements, values: layer.values, workspace: layer.scratch.all,
        into: gradient.elements)
      return
    }
    let product = inputProduct(batch: pass.input.batch, pass.context)
    product.pack(pass.parameters[0], isTransposed: true, into: pass.workspace)
    product.run(
      outputGradient.elements, bias: nil, workspace: pass.workspace, into: gradient.elements)
  }

  private var depthwise: Depthwise {
    Depthwise(channels: inputs, rows: rows, columns: columns)
  }

  private var inputShape: Shape { Shape(dimensions: [inputs, rows.inputs, columns.inputs]) }

  private func plan(forward: Bool, batch: Int, length: Int) -> StripPlan {
    StripPlan(
      rows: forward ? rows.forward : rows.backward,
      columns: forward ? columns.forward : columns.backward,
      source: forward ? inputShape : outputShape, target: forward ? outputShape : inputShape,
      batch: batch, length: length, kernelWidth: columns.kernel)
  }

  private func outputProduct<Element>(
    batch: Int, _ context: ExecutionContext<Element>
  ) -> StripProduct<Element> {
    let length = StripProduct<Element>.length(targets: outputs)
    return StripProduct(
      plan: plan(forward: true, batch: batch, length: length), sources: inputs,
      targets: outputs, taps: taps, context: context)
  }

  private func inputProduct<Element>(
    batch: Int, _ context: ExecutionContext<Element>
  ) -> StripProduct<Element> {
    let length = StripProduct<Element>.length(targets: inputs)
    return StripProduct(
      plan: plan(forward: false, batch: batch, length: length),
      sources: outputs, targets: inputs, taps: taps, context: context)
  }

  private func weightGradient<Element>(
    batch: Int, _ context: ExecutionContext<Element>
  ) -> WeightGradient<Element> {
    let length = StripProduct<Element>.length(targets: outputs)
    return WeightGradient(
      plan: plan(forward: true, batch: batch, length: length), inputs: inputs,
      outputs: outputs, taps: taps, context: context)
  }
}
