// Processes, called ranks, that each hold a part of the weights and find one mask together. They
// exchange sums of small integer arrays and nothing else. What must not live here: how the sums
// travel, which is up to the caller, and what is summed to select (SharedSelection).

/// A rank's place among those that share a search, and its connection to them.
///
/// All ranks take part in every sum, in the same order, so no rank may stop on its own. A rank that
/// fails reports it in the next sum, and all of them throw.
public struct Ranks {
  /// Where each tensor of this rank lies among the weights of all ranks, in the order that breaks
  /// ties. One tensor ends before the next begins.
  public let placements: [Placement]
  /// Whether the tensors are pieces of larger ones, which all ranks list in the same order.
  public let arePieces: Bool

  private let exchange: (inout [Int64]) throws(SFError) -> Void

  /// - Parameters:
  ///   - placements: one per tensor of this rank.
  ///   - arePieces: whether the tensors are pieces of larger ones. A report then has the weights
  ///     kept in each whole tensor.
  ///   - sum: replaces each number by its sum over all ranks. It is called on the thread that takes
  ///     the step. An error that it throws ends the step on this rank alone.
  public init(
    _ placements: [Placement], arePieces: Bool,
    sum: @escaping (inout [Int64]) throws(SFError) -> Void
  ) {
    self.placements = placements
    self.arePieces = arePieces
    exchange = sum
  }

  /// The same connection, for tensors that lie elsewhere.
  public func with(_ placements: [Placement]) -> Ranks {
    Ranks(placements, arePieces: arePieces, sum: exchange)
  }

  /// Tells the other ranks, which are taking a step, that this rank cannot take it. Called instead
  /// of the step. The others throw `rankFailed`.
  public func reportFailure() {
    // If the exchange fails, too, the other ranks cannot be told.
    _ = try? sum(StepAgreement.empty, unless: .rankFailed)
  }

  /// The sums over all ranks; or an error on all of them.
  ///
  /// - Parameter failure: why this rank cannot go on; its numbers are not used then.
  /// - Throws: `failure`; `rankFailed` if another rank has failed; what the exchange throws.
  func sum(_ numbers: [Int], unless failure: SFError? = nil) throws(SFError) -> [Int] {
    var sums = [failure == nil ? 0 : 1] + numbers.map { Int64($0) }
    do throws(SFError) { try exchange(&sums) } catch { throw failure ?? error }
    if let failure { throw failure }
    // No number is negative, and no sum is larger than this.
    guard sums.count == numbers.count + 1, sums.allSatisfy({ $0 >= 0 && $0 <= Keep.largestCount })
    else { throw .exchangeFailed }
    guard sums[0] == 0 else { throw .rankFailed }
    return sums.dropFirst().map { Int($0) }
  }

  /// Runs what may fail on one rank before the first sum of a step. If it throws, the other ranks
  /// are told.
  func reportingFailure<Result>(_ body: () throws(SFError) -> Result) throws(SFError) -> Result {
    do throws(SFError) {
      return try body()
    } catch {
      reportFailure()
      throw error
    }
  }

  /// Checks that the placements fit the tensors of this rank.
  ///
  /// - Parameters:
  ///   - sizes: elements of this rank's tensors.
  ///   - total: weights of all ranks.
  /// - Throws: `sizeMismatch`, `badStart`.
  func check(_ sizes: [Int], of total: Int) throws(SFError) {
    guard placements.count == sizes.count else {
      throw .sizeMismatch(.weights, tensor: nil, got: placements.count, expected: sizes.count)
    }
    var end = 0
    for (tensor, (placement, size)) in zip(placements, sizes).enumerated() {
      guard placement.start >= end, let next = placement.end(size, of: total) else {
        throw .badStart(tensor: tensor, start: placement.start)
      }
      end = next
    }
  }
}
