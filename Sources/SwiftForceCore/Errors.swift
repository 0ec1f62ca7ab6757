// Every way in which a call can fail, with the facts that a caller needs to find the fault. What
// must not live here: the C status codes, which SwiftForceABI maps these cases to.

/// Which of a call's arguments an error speaks of.
public enum Operand: Sendable, Equatable {
  case weights, gradients, scores, masks, maskedWeights, inputs, labels, rows, logits
}

/// Elements of one tensor that are NaN or infinite.
public struct NonFinite: Sendable, Equatable {
  /// Whether the weights, the gradients or (where both are finite) their scores are at fault.
  public var operand: Operand
  /// Position of the tensor in the list that was passed.
  public var tensor: Int
  /// Position of the first such element, in memory order.
  public var firstIndex: Int
  /// How many there are in this tensor.
  public var count: Int
  /// The first such value.
  public var value: Double

  public init(operand: Operand, tensor: Int, firstIndex: Int, count: Int, value: Double) {
    self.operand = operand
    self.tensor = tensor
    self.firstIndex = firstIndex
    self.count = count
    self.value = value
  }
}

/// The one error type of the package; all throwing functions throw it and nothing else.
///
/// A function that throws has changed nothing that its caller can see.
public enum SFError: Error, Sendable, Equatable {
  /// A sparsity that is not in [0, 1).
  case badSparsity(Double)
  /// A number of weights to keep that is not in 1 ... n.
  case badKeep(keep: Int, of: Int)
  /// Fewer than one step, or more than one for a one-shot method.
  case badSteps(Int, oneShot: Bool)
  /// A number of steps taken before that is negative, or more than there are.
  case badTaken(Int, steps: Int)
  /// A caller's schedule that grows, falls below the number of weights to keep, or ends elsewhere.
  case badSchedule(step: Int, keep: Int, previous: Int)
  /// No weights at all, or more than can be counted.
  case badCount(Int)
  /// Lists or tensors that belong together differ in size.
  case sizeMismatch(Operand, tensor: Int?, got: Int, expected: Int)
  /// NaN or infinity among the weights, gradients or scores.
  case nonFinite(NonFinite)
  /// The method scores with gradients and none were passed.
  case missingGradients
  /// The search has taken all of its steps.
  case searchDone(steps: Int)
  /// The masks passed to a step do not keep as many weights as the previous step kept.
  case masksChanged(kept: Int, expected: Int)
  /// The caller's arrays did not hold still while they were read.
  case arraysChanged
  /// A label that is not in 0 ..< classes, at this position of the label array.
  case badLabel(index: Int, label: Int, classes: Int)
  /// A row number outside the data set, at this position of the list of rows.
  case badRow(index: Int, row: Int, samples: Int)
  /// A layer that does not fit the one before it, or has an impossible size.
  case badArchitecture(layer: Int, reason: String)
  /// A learning rate, momentum or weight decay that is negative or not finite.
  case badHyperparameter(name: String, value: Double)
  /// An array that has not the element type that it must have here.
  case badType(Operand, tensor: Int, got: ElementType, expected: ElementType)
  /// A number of threads that is not in 1 ... 4096.
  case badThreads(Int)
  /// An environment variable that cannot be followed.
  case badEnvironment(name: String, value: String, expected: String)
  /// Memory for this many bytes could not be had.
  case noMemory(bytes: Int)
  /// A tensor that begins before the end of the one before it, or reaches beyond the last weight, in
  /// the order of the weights of all ranks.
  case badStart(tensor: Int, start: Int)
  /// Another rank failed, and all give the step up.
  case rankFailed
  /// The ranks are not at the same step of the same search, or do not hold all of its weights.
  case ranksDiffer
  /// Sums over all ranks could not be had, or are none.
  case exchangeFailed

  /// One sentence in English. Tensors are named by position; whoever knows their names replaces it.
  public var message: String {
    switch self {
    case .badSparsity(let value):
      "sparsity must be in [0, 1), not \(value)"
    case .badKeep(let keep, let n):
      "the number of weights to keep must be in 1 ... \(n), not \(keep)"
    case .badSteps(let steps, let oneShot):
      oneShot
        ? "a one-shot method takes exactly one step, not \(steps)"
        : "a search takes at least one step, not \(steps)"
    case .badTaken(let taken, let steps):
      "the number of steps taken before must be in 0 ... \(steps), not \(taken)"
    case .badSchedule(let step, let keep, let previous):
      "step \(step) of the schedule keeps \(keep) weights after \(previous):"
        + " it must not grow, nor fall below the number of weights to keep, and must end there"
    case .badCount(let count):
      "there must be at least one weight and at most 2^62, not \(count)"
    case .sizeMismatch(let operand, let tensor, let got, let expected):
      if let tensor {
        "\(operand)[\(tensor)] has \(got) elements where \(expected) are expected"
      } else {
        "\(operand): \(got) where \(expected) are expected"
      }
    case .nonFinite(let found):
      "\(found.operand)[\(found.tensor)] has \(found.count) values that are not finite,"
        + " the first (\(found.value)) at element \(found.firstIndex)"
    case .missingGradients:
      "the method scores weights by their gradients, and none were passed"
    case .searchDone(let steps):
      "the search has taken all of its \(steps) steps"
    case .masksChanged(let kept, let expected):
      "the masks passed keep \(kept) weights where the previous step kept \(expected)"
    case .arraysChanged:
      "weights, gradients or scores changed while they were being read"
    case .badLabel(let index, let label, let classes):
      "labels[\(index)] is \(label), outside 0 ... \(classes - 1)"
    case .badRow(let index, let row, let samples):
      "rows[\(index)] is \(row), outside 0 ... \(samples - 1)"
    case .badArchitecture(let layer, let reason):
      "layer \(layer): \(reason)"
    case .badHyperparameter(let name, let value):
      "\(name) must be finite and not negative, not \(value)"
    case .badType(let operand, let tensor, let got, let expected):
      "\(operand)[\(tensor)] has the type \(got.name) where \(expected.name) is needed"
    case .badThreads(let number):
      "the number of threads must be in 1 ... \(Threads.most), not \(number)"
    case .badEnvironment(let name, let value, let expected):
      "the environment variable \(name) is \"\(value)\" where it must be \(expected)"
    case .noMemory(let bytes):
      "\(bytes) bytes of memory could not be allocated"
    case .badStart(let tensor, let start):
      "weights[\(tensor)] cannot begin at position \(start) of all weights:"
        + " tensors ascend, do not overlap, and end with the last weight"
    case .rankFailed:
      "another rank failed and tells why; nothing was changed on this one"
    case .ranksDiffer:
      "the ranks are not at the same step of the same search, or do not hold all of its weights"
    case .exchangeFailed:
      "the sums over all ranks failed, or are not what sums of these numbers can be"
    }
  }
}
