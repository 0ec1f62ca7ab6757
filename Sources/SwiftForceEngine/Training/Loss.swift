// The losses for training and scoring. What must not live here: their loops (SwiftForceKernels), and
// the mean over several micro-batches (NetworkPass).

import SwiftForceCore

/// The losses that gradients may be taken of.
public enum LossKind: Named {
  /// The mean over samples of log(sum_c exp(z_c / temperature)) - z_label / temperature.
  case crossEntropy
  /// The mean over samples of -z_label. The published code of FORCE scores weights by it: it calls
  /// the negative log likelihood of torch with logits in place of log probabilities.
  case targetLogit
}

/// A loss, with its settings.
public struct Loss: Sendable {
  public let kind: LossKind
  public let temperature: Double

  public static let crossEntropy = Loss()

  private init() {
    kind = .crossEntropy
    temperature = 1
  }

  /// - Parameter temperature: divides the logits of the cross entropy; 1 for other losses, which it
  ///   would only scale.
  /// - Throws: `badSetting`.
  public init(_ kind: LossKind, temperature: Double) throws(SFError) {
    let isUsable = temperature > 0 && Float(1 / temperature).isFinite && Float(1 / temperature) > 0
    guard isUsable else {
      throw .badSetting(name: "temperature", value: temperature, expected: "above 0 and finite")
    }
    guard temperature == 1 || kind == .crossEntropy else {
      throw .badSetting(
        name: "temperature", value: temperature, expected: "1 for the loss \(kind.name)")
    }
    self.kind = kind
    self.temperature = temperature
  }
}

/// The loss of a batch.
struct BatchLoss<Element: BLASScalar> {
  let loss: Loss
  let logits: Activation<Element>
  /// One per sample, each in 0 ..< classes.
  let labels: Vector<Int64>
  /// Scratch memory: two elements for each sample.
  let workspace: Vector<Element>

  /// The summed loss and the number of correct samples.
  ///
  /// Cross entropy is stable for all finite logits. If a logit is NaN or +infinity, it is NaN.
  ///
  /// - Parameters:
  ///   - gradient: set to weight * dL/dlogits, of the logits' shape, where L is the summed loss, and
  ///     to zero where there is no sample; nil: not computed.
  ///   - weight: the weight of one sample in the mean, 1 / batch.
  func sum(gradient: Activation<Element>?, weight: Double) -> BatchResult {
    assert(labels.count == logits.batch && workspace.count == 2 * logits.batch, "sizes")
    var total = BatchResult(loss: 0, correct: 0)
    for block in 0..<logits.blocks {
      let samples = logits.samples(ofBlock: block)
      let (loss, correct) = unsafe sum(
        logits.part(block: block).base, columns: samples.count,
        labels: labels.part(samples).base, weight: weight,
        gradient: gradient?.part(block: block).base)
      total.add(BatchResult(loss: loss, correct: correct))
    }
    return total
  }

  /// The sum of one block of samples.
  private func sum(
    _ block: UnsafeMutablePointer<Element>, columns: Int, labels: UnsafePointer<Int64>,
    weight: Double, gradient: UnsafeMutablePointer<Element>?
  ) -> (loss: Double, correct: Int) {
    switch loss.kind {
    case .crossEntropy:
      return unsafe Element.softmaxCrossEntropy(
        block, classes: logits.features, columns: columns, stride: logits.lanes, labels: labels,
        scale: 1 / loss.temperature, weight: weight, gradient: gradient,
        workspace: workspace.base)
    case .targetLogit:
      return unsafe Element.targetLogit(
        block, classes: logits.features, columns: columns, stride: logits.lanes, labels: labels,
        weight: weight, gradient: gradient, workspace: workspace.base)
    }
  }
}
