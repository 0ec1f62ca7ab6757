// Processes, called ranks, that hold a part of the weights each and find one mask together. What
// they tell each other are sums of small arrays of integers, and nothing else. What must not live
// here: how the sums travel, which is the caller's, and what is summed to select.

/// A rank's place among those that share a search, and its way to reach them.
///
/// All ranks take part in every sum, in the same order, so none may stop on its own: a rank that
/// fails says so in the next sum, and all of them throw.
public struct Ranks {
  /// Where each tensor of this rank begins among the weights of all ranks, which are counted in the
  /// order that decides between equal scores. They ascend, and no two tensors overlap.
  public let starts: [Int]

  private let exchange: (inout [Int64]) throws(SFError) -> Void

  /// - Parameter sum: replaces each number by its sum over all ranks; called on the thread that
  ///   takes the step. What it throws ends the step on this rank alone.
  public init(starts: [Int], sum: @escaping (inout [Int64]) throws(SFError) -> Void) {
    self.starts = starts
    exchange = sum
  }

  /// Tells the others that this rank cannot take the step that they are taking, in place of the
  /// step. They throw `rankFailed`.
  public func giveUp() {
    // Whatever comes of it, there is nobody left to tell.
    _ = try? sum(Meeting.empty, unless: .rankFailed)
  }

  /// The sums over all ranks, or the same end for all of them.
  ///
  /// - Parameter trouble: why this rank cannot go on; the numbers are not used then.
  /// - Throws: `trouble`; `rankFailed` where another rank is in trouble; what the exchange throws.
  func sum(_ numbers: [Int], unless trouble: SFError? = nil) throws(SFError) -> [Int] {
    var sums = [trouble == nil ? 0 : 1] + numbers.map { Int64($0) }
    do throws(SFError) { try exchange(&sums) } catch { throw trouble ?? error }
    if let trouble { throw trouble }
    // No number is negative, and none of their sums as large as this.
    guard sums.count == numbers.count + 1, sums.allSatisfy({ $0 >= 0 && $0 <= Keep.largestCount })
    else { throw .exchangeFailed }
    guard sums[0] == 0 else { throw .rankFailed }
    return sums.dropFirst().map { Int($0) }
  }

  /// Does what may fail on one rank before all of them meet. Where it fails, the others are told.
  func preparing<Result>(_ body: () throws(SFError) -> Result) throws(SFError) -> Result {
    do throws(SFError) {
      return try body()
    } catch {
      giveUp()
      throw error
    }
  }

  /// - Parameters:
  ///   - sizes: elements of this rank's tensors.
  ///   - total: weights of all ranks.
  func check(_ sizes: [Int], of total: Int) throws(SFError) {
    guard starts.count == sizes.count else {
      throw .sizeMismatch(.weights, tensor: nil, got: starts.count, expected: sizes.count)
    }
    var end = 0
    for (tensor, (start, size)) in zip(starts, sizes).enumerated() {
      guard start >= end, start <= total, size <= total - start else {
        throw .badStart(tensor: tensor, start: start)
      }
      end = start + size
    }
  }

  /// The first sum of a step, by which the ranks agree that it is the same step for all of them.
  ///
  /// - Returns: whether scores are binary64 on any rank, and then on all.
  /// - Throws: `rankFailed`, `ranksDiffer`, `masksChanged`; the same on all ranks.
  func meet(_ own: Meeting) throws(SFError) -> Bool {
    let sums = try sum(own.numbers)
    let (count, wide, weights, kept) = (sums[0], sums[1], sums[2], sums[3])
    // Numbers are all equal exactly where the square of their sum is as large as it can be.
    let (digests, squares) = (UInt(sums[4]), UInt(sums[5]))
    guard UInt(count).multipliedFullWidth(by: squares) == digests.multipliedFullWidth(by: digests),
      weights == own.total
    else { throw .ranksDiffer }
    if let expected = own.expected, kept != expected {
      throw .masksChanged(kept: kept, expected: expected)
    }
    return wide > 0
  }
}

/// What a rank says of itself before a step.
struct Meeting {
  /// Of what must be the same on all ranks: some bits of a hash.
  let digest: Int
  /// Weights of all ranks, and of this one.
  let total: Int
  let weights: Int
  /// Whether its scores are binary64.
  let isWide: Bool
  /// How many weights the previous masks keep here, and must keep on all ranks; nil at the first.
  let kept: Int
  let expected: Int?

  /// So short that the sum of as many squares as there may be ranks fits into 63 bits.
  static let digestBits = 20

  var numbers: [Int] { [1, isWide ? 1 : 0, weights, kept, digest, digest * digest] }

  /// As long as `numbers`.
  static let empty = [Int](repeating: 0, count: 6)
}
