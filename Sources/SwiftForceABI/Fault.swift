// Errors of a C function, and their conversion to a status and an error record. No other file knows
// both sides. What must not live here: checks.

import CSwiftForce
import SwiftForceCore

/// Why a call is refused: an invalid argument, or an error of the core or the engine.
struct Fault: Error {
  var status: sf_status
  var message: String
  var operand = SF_OPERAND_NONE
  var tensor = -1
  var index = -1
  var count = -1
  var value = 0.0

  init(
    _ status: sf_status, _ message: String, operand: sf_operand = SF_OPERAND_NONE,
    tensor: Int = -1
  ) {
    self.status = status
    self.message = message
    self.operand = operand
    self.tensor = tensor
  }

  /// A required pointer is null.
  static func null(_ name: String) -> Fault { Fault(SF_NULL_POINTER, "\(name) must not be null") }

  /// The same fault with an index.
  func at(index: Int) -> Fault {
    var fault = self
    fault.index = index
    return fault
  }

  init(_ error: SFError) {
    self.init(Fault.status(of: error), error.message)
    switch error {
    case .badSparsity(let value), .badHyperparameter(_, let value), .badSetting(_, let value, _):
      self.value = value
    case .sizeMismatch(let operand, let tensor, let got, _):
      self.operand = Fault.operand(operand)
      self.tensor = tensor ?? -1
      count = got
    case .nonFinite(let found):
      operand = Fault.operand(found.operand)
      tensor = found.tensor
      index = found.firstIndex
      count = found.count
      value = found.value
    case .badLabel(let index, let label, _):
      operand = SF_OPERAND_LABELS
      self.index = index
      value = Double(label)
    case .badRow(let index, let row, _):
      operand = SF_OPERAND_ROWS
      self.index = index
      value = Double(row)
    case .badArchitecture(let layer, _):
      index = layer
    case .badCount(let number), .badKeep(let number, _), .badSteps(let number, _),
      .badTaken(let number, _), .badSchedule(_, let number, _), .masksChanged(let number, _):
      count = number
    case .badBounds(let tensor, _):
      operand = tensor == nil ? SF_OPERAND_NONE : SF_OPERAND_WEIGHTS
      self.tensor = tensor ?? -1
    case .badType(let operand, let tensor, _, _):
      self.operand = Fault.operand(operand)
      self.tensor = tensor
    case .badThreads(let number):
      count = number
    case .missingGradients:
      operand = SF_OPERAND_GRADIENTS
    case .badStart(let tensor, let start):
      operand = SF_OPERAND_WEIGHTS
      self.tensor = tensor
      index = start
    case .noObjective, .scoresAreGiven, .searchDone, .arraysChanged, .noMemory, .badEnvironment,
      .rankFailed,
      .ranksDiffer,
      .exchangeFailed:
      break
    }
  }

  /// The status of each error.
  private static func status(of error: SFError) -> sf_status {
    switch error {
    case .badSparsity: SF_BAD_SPARSITY
    case .badKeep: SF_BAD_KEEP
    case .badSteps, .badTaken: SF_BAD_STEPS
    case .badSchedule: SF_BAD_SCHEDULE
    case .badCount: SF_BAD_COUNT
    case .sizeMismatch: SF_SIZE_MISMATCH
    case .nonFinite: SF_NON_FINITE
    case .missingGradients: SF_MISSING_GRADIENTS
    case .badBounds: SF_BAD_BOUNDS
    case .searchDone: SF_SEARCH_DONE
    case .masksChanged: SF_MASKS_CHANGED
    case .arraysChanged: SF_ARRAYS_CHANGED
    case .badLabel: SF_BAD_LABEL
    case .badRow: SF_BAD_ROW
    case .badArchitecture: SF_BAD_ARCHITECTURE
    case .badHyperparameter, .badSetting, .noObjective, .scoresAreGiven: SF_BAD_HYPERPARAMETER
    case .badType: SF_UNSUPPORTED_TYPE
    case .badThreads: SF_BAD_THREADS
    case .badEnvironment: SF_BAD_ENVIRONMENT
    case .noMemory: SF_NO_MEMORY
    case .badStart: SF_BAD_START
    case .rankFailed, .ranksDiffer: SF_RANK_FAILED
    case .exchangeFailed: SF_EXCHANGE_FAILED
    }
  }

  private static func operand(_ operand: Operand) -> sf_operand {
    switch operand {
    case .weights: SF_OPERAND_WEIGHTS
    case .gradients: SF_OPERAND_GRADIENTS
    case .scores: SF_OPERAND_SCORES
    case .masks: SF_OPERAND_MASKS
    case .maskedWeights: SF_OPERAND_MASKED_WEIGHTS
    case .inputs: SF_OPERAND_INPUTS
    case .labels: SF_OPERAND_LABELS
    case .rows: SF_OPERAND_ROWS
    case .logits: SF_OPERAND_LOGITS
    case .accumulated: SF_OPERAND_ACCUMULATED
    }
  }

  /// The same fault as a C struct. A message that is too long is truncated.
  var record: sf_error {
    var record = sf_error()
    record.status = Int32(bitPattern: status.rawValue)
    record.operand = Int32(bitPattern: operand.rawValue)
    record.tensor = Int64(tensor)
    record.index = Int64(index)
    record.count = Int64(count)
    record.value = value
    unsafe withUnsafeMutableBytes(of: &record.message) { bytes in
      for (i, byte) in message.utf8.prefix(bytes.count - 1).enumerated() {
        unsafe bytes[i] = byte
      }
    }
    return record
  }
}

/// Runs the body of an exported function in the floating-point environment of the core, and
/// converts what it throws to a status and an error record. Every exported function is a call of
/// this one.
///
/// - Parameter body: makes sure itself of the memory that it allocates.
func status(
  _ record: UnsafeMutablePointer<sf_error>?, _ body: (FloatingPoint) throws(Fault) -> Void
) -> Int32 {
  guard unsafe isAligned(record) else { return Int32(bitPattern: SF_MISALIGNED.rawValue) }
  let outcome = FloatingPoint.ieee { environment in
    do throws(Fault) {
      try body(environment)
      return Fault(SF_OK, "")
    } catch {
      return error
    }
  }
  unsafe record?.pointee = outcome.record
  return Int32(bitPattern: outcome.status.rawValue)
}

/// The same, while memory is held for the body.
///
/// - Parameter memory: what the body allocates at most, besides what it holds itself.
func status(
  _ record: UnsafeMutablePointer<sf_error>?, memory: Int = 0, _ body: () throws(Fault) -> Void
) -> Int32 {
  unsafe status(record) { (_: FloatingPoint) throws(Fault) in try holding(memory, body) }
}

/// Calls the core or the engine and converts the error it throws.
func mappingErrors<Result>(_ body: () throws(SFError) -> Result) throws(Fault) -> Result {
  do { return try body() } catch { throw Fault(error) }
}
