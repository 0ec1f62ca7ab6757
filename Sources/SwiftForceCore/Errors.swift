// Every way in which a call can fail, with the facts that a caller needs to find the cause. What
// must not live here: the C status codes, to which SwiftForceABI maps these cases.

/// The argument of a call that an error is about.
public enum Operand: Sendable, Equatable {
  case weights, gradients, scores, masks, maskedWeights, inputs, labels, rows, logits, accumulated
}

/// Elements of one tensor that are NaN or infinite.
public struct NonFinite: Sendable, Equatable {
  /// The weights, the gradients, or (if both are finite) their scores.
  public var operand: Operand
  /// Index of the tensor in the list that was passed.
  public var tensor: Int
  /// Index of the first such element, in memory order.
  public var firstIndex: Int
  /// How many such elements this tensor has.
  public var count: Int
  /// The value of the first one.
  public var value: Double

  public init(operand: Operand, tensor: Int, firstIndex: Int, count: Int, value: Double) {
    self.operand = operand
    self.tensor = tensor
    self.firstIndex = firstIndex
    self.count = count
    self.value = value
  }
}

/// The one error type of the package. All throwing functions throw it and nothing else.
///
/// A function that throws has changed nothing that its caller can see, except what its
/// documentation calls unspecified.
public enum SFError: Error, Sendable, Equatable {
  /// A sparsity that is not in [0, 1).
  case badSparsity(Double)
  /// A number of weights to keep that is not in 1 ... n.
  case badKeep(keep: Int, of: Int)
  /// Fewer than one step, or more than one for a one-shot method.
  case badSteps(Int, oneShot: Bool)
  /// A number of steps taken before that is negative or larger than the number of steps.
  case badTaken(Int, steps: Int)
  /// A list of weights to keep that grows, falls below the last number, or ends at another one.
  case badSchedule(step: Int, keep: Int, previous: Int)
  /// No weights at all, or more than can be counted.
  case badCount(Int)
  /// Lists or tensors that belong together have different sizes.
  case sizeMismatch(Operand, tensor: Int?, got: Int, expected: Int)
  /// NaN or infinity among the weights, gradients or scores.
  case nonFinite(NonFinite)
  /// The method scores weights by their gradients, and none were passed.
  case missingGradients
  /// The search scores weights without gradients, so that it has no objective.
  case noObjective(Saliency)
  /// Scores that the caller has are to be computed.
  case scoresAreGiven
  /// Floors and caps that no mask respects, of one tensor or of all.
  case badBounds(tensor: Int?, reason: String)
  /// The search has taken all of its steps.
  case searchDone(steps: Int)
  /// The masks passed to a step do not keep as many weights as the previous step kept.
  case masksChanged(kept: Int, expected: Int)
  /// The caller's arrays changed while they were read.
  case arraysChanged
  /// A label that is not in 0 ..< classes, at this position of the label array.
  case badLabel(index: Int, label: Int, classes: Int)
  /// A row number outside the data set, at this position of the list of rows.
  case badRow(index: Int, row: Int, samples: Int)
  /// A layer that does not fit the one before it, or has an impossible size.
  case badArchitecture(layer: Int, reason: String)
  /// A learning rate, momentum or weight decay that is negative or not finite.
  case badHyperparameter(name: String, value: Double)
  /// A setting of a search that is out of range, or that its method does not have.
  case badSetting(name: String, value: Double, expected: String)
  /// An array that does not have the required element type.
  case badType(Operand, tensor: Int, got: ElementType, expected: ElementType)
  /// A number of threads that is not in 1 ... 4096.
  case badThreads(Int)
  /// An environment variable with a value that is not accepted.
  case badEnvironment(name: String, value: String, expected: String)
  /// This many bytes of memory could not be allocated.
  case noMemory(bytes: Int)
  /// A tensor that begins before the end of the previous one or extends beyond the last weight, in
  /// the order of the weights of all ranks.
  case badStart(tensor: Int, start: Int)
  /// Another rank failed, so no rank takes the step.
  case rankFailed
  /// The ranks are not at the same step of the same search, or do not hold all of its weights.
  case ranksDiffer
  /// A sum over all ranks failed, or returned what cannot be a sum.
  case exchangeFailed

  /// One sentence in English. It names tensors by index; a caller that knows their names replaces
  /// it.
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
        + " a schedule must not grow, must not fall below the number of weights to keep,"
        + " and must end at it"
    case .badCount(let count):
      "there must be at least one weight and at most 2^62, not \(count)"
    case .badBounds(let tensor, let reason):
      tensor.map { "weights[\($0)]: \(reason)" } ?? reason
    case .sizeMismatch(let operand, let tensor, let got, let expected):
      if let tensor {
        "\(operand)[\(tensor)] has \(got) elements, but \(expected) are expected"
      } else {
        "\(operand): there are \(got), but \(expected) are expected"
      }
    case .nonFinite(let found):
      "\(found.operand)[\(found.tensor)] has \(found.count) values that are not finite;"
        + " the first, \(found.value), is at element \(found.firstIndex)"
    case .missingGradients:
      "the method scores weights by their gradients: pass gradients"
    case .noObjective(let saliency):
      "the objective is for scores by gradients, which \(saliency.name) does not read"
    case .scoresAreGiven:
      "there is no formula of given scores: pass them to a search or to a selection"
    case .searchDone(let steps):
      "the search has taken all of its \(steps) steps: start a new search"
    case .masksChanged(let kept, let expected):
      "the masks passed keep \(kept) weights but the previous step kept \(expected):"
        + " do not change masks between steps"
    case .arraysChanged:
      "weights, gradients or scores changed while they were being read:"
        + " do not write to them during the call"
    case .badLabel(let index, let label, let classes):
      "labels[\(index)] is \(label), outside 0 ... \(classes - 1)"
    case .badRow(let index, let row, let samples):
      "rows[\(index)] is \(row), outside 0 ... \(samples - 1)"
    case .badArchitecture(let layer, let reason):
      "layer \(layer): \(reason)"
    case .badHyperparameter(let name, let value):
      "\(name) must be finite and not negative, not \(value)"
    case .badSetting(let name, let value, let expected):
      "\(name) must be \(expected), not \(value)"
    case .badType(let operand, let tensor, let got, let expected):
      "\(operand)[\(tensor)] has type \(got.name), but \(expected.name) is needed"
    case .badThreads(let number):
      "the number of threads must be in 1 ... \(Threads.maximum), not \(number)"
    case .badEnvironment(let name, let value, let expected):
      "the environment variable \(name) must be \(expected), not \"\(value)\""
    case .noMemory(let bytes):
      "\(bytes) bytes of memory could not be allocated"
    case .badStart(let tensor, let start):
      "weights[\(tensor)] cannot begin at position \(start) of all weights:"
        + " starts must ascend, and tensors must not overlap or extend beyond the last weight"
    case .rankFailed:
      "another rank failed and reports the reason; nothing was changed on this rank"
    case .ranksDiffer:
      "the ranks are not at the same step of the same search, or do not hold all of its weights"
    case .exchangeFailed:
      "the sums over all ranks failed, or are not what sums of these numbers can be:"
        + " check the function that sums"
    }
  }
}
