// Batch normalisation. What must not live here: other normalisations.

import SwiftForceCore

/// y = (x - mean) / sqrt(variance + epsilon) * scale + bias, for each channel.
///
/// With `.batch`, mean and (biased) variance are those of the channel over all samples and the
/// whole image; `updateRunningStatistics` moves the running statistics towards them, with the
/// unbiased variance, as torch does. With `.running`, the running statistics are used as constants.
///
/// Parameters: scale, bias (trained), mean, variance (running), each (channels).
///
/// Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
struct BatchNorm2d: Layer {
  let channels: Int
  let momentum: Double
  let epsilon: Double
  let outputShape: Shape
  /// Whether the output is rectified as well, in place of the `ReLU` that follows. That saves five
  /// passes over its numbers in a step of training.
  var rectifies = false

  init(_ description: LayerDescription, _ input: Shape) throws(LayerFault) {
    try description.allowOnly(\.inputs, \.momentum, \.epsilon)
    let image = try input.image(for: .batchNorm2d)
    (channels, momentum, epsilon) = (description.inputs, description.momentum, description.epsilon)
    guard channels == image.channels else {
      throw LayerFault("expects \(channels) input channels but receives \(image.channels)")
    }
    guard (0...1).contains(momentum) else {
      throw LayerFault("momentum must be in 0 ... 1, not \(momentum)")
    }
    guard epsilon > 0, epsilon < .infinity else {
      throw LayerFault("epsilon must be above 0 and finite, not \(epsilon)")
    }
    outputShape = input
  }

  /// Mean, and 1 / sqrt(variance + epsilon), of each channel, and its unbiased variance.
  var needs: LayerNeeds {
    LayerNeeds(mayOverwriteGradient: true, readsInput: true, saved: 3 * channels)
  }

  var parameters: [ParameterDescription] {
    [.scale, .bias, .mean, .variance].map { ParameterDescription(role: $0, shape: [channels]) }
  }

  func forward<Element>(_ pass: Pass<Element>) {
    switch pass.normalization {
    case .running: normalizeByRunningStatistics(pass)
    case .batch: normalizeByBatch(pass)
    }
  }

  private func normalizeByRunningStatistics<Element>(_ pass: Pass<Element>) {
    let (scale, shift) = (pass.parameters[0], pass.parameters[1])
    let (mean, variance) = (pass.parameters[2], pass.parameters[3])
    pass.saved.copy(mean, 0..<channels, to: 0)
    pass.saved.copy(variance, 0..<channels, to: 2 * channels)
    pass.input.forEachRange(channels: channels, team: pass.context.team) { range in
      pass.output.normalize(
        pass.input, channels: range, of: channels, mean: mean, variance: variance,
        epsilon: epsilon, scale: scale, shift: shift, rectifies: rectifies,
        inverse: pass.saved.part(channels..<2 * channels))
    }
  }

  private func normalizeByBatch<Element>(_ pass: Pass<Element>) {
    pass.context.team.forEach(channels) { _, channel in
      let input = pass.input.channel(channel, of: channels)
      let (mean, variance) = input.moments
      let deviation = (variance + epsilon).squareRoot()
      // One number has no unbiased variance.
      let count = Double(input.runs.numbers)
      let unbiased = count > 1 ? variance * count / (count - 1) : variance
      pass.saved[channel] = Element(mean)
      pass.saved[channels + channel] = Element(1 / deviation)
      pass.saved[2 * channels + channel] = Element(unbiased)
      pass.output.channel(channel, of: channels).assignNormalized(
        input, mean: Element(mean), factor: factor(channel, pass),
        shift: pass.parameters[1][channel], rectifies: rectifies)
    }
  }

  /// Scale / deviation, the same in both directions.
  private func factor<Element>(_ channel: Int, _ pass: Pass<Element>) -> Element {
    Element(Double(pass.parameters[0][channel]) * Double(pass.saved[channels + channel]))
  }

  /// With n numbers of a channel and z = (x - mean) / deviation: db = sum dy, ds = sum dy z, and dx
  /// = scale / deviation (dy - db / n - z ds / n); with running statistics dx = scale / deviation
  /// dy. If the output was rectified, dy is zero where it is.
  func backward<Element>(_ pass: Pass<Element>, _ gradients: BackwardPass<Element>) {
    pass.context.team.forEach(channels) { _, channel in
      let input = pass.input.channel(channel, of: channels)
      let outputGradient = gradients.outputGradient.channel(channel, of: channels)
      let mean = pass.saved[channel]
      let inverse = Double(pass.saved[channels + channel])
      let rectified =
        rectifies ? (factor(channel, pass), pass.parameters[1][channel]) : nil
      let sums = outputGradient.normalizationSums(input, mean: mean, rectified: rectified)
      let parameterSums = [sums.products * inverse, sums.gradients]
      for (gradient, sum) in zip(gradients.parameterGradients, parameterSums) {
        guard let gradient else { continue }
        gradient[channel] = Element(sum) + (gradients.accumulates ? gradient[channel] : 0)
      }
      guard let target = gradients.inputGradient else { return }
      let factor = Double(pass.parameters[0][channel]) * inverse
      let correction = pass.normalization == .batch ? factor / Double(input.runs.numbers) : 0
      target.channel(channel, of: channels).assignNormalizationGradient(
        outputGradient, input, mean: mean, factor: Element(factor),
        slope: Element(correction * sums.products * inverse * inverse),
        shift: Element(correction * sums.gradients), rectified: rectified)
    }
  }

  func updateRunningStatistics<Element>(_ pass: Pass<Element>) {
    let (mean, variance) = (pass.parameters[2], pass.parameters[3])
    for channel in 0..<channels {
      let (old, new) = (Double(mean[channel]), Double(pass.saved[channel]))
      mean[channel] = Element(old + momentum * (new - old))
      let (before, now) = (Double(variance[channel]), Double(pass.saved[2 * channels + channel]))
      variance[channel] = Element(before + momentum * (now - before))
    }
  }
}
