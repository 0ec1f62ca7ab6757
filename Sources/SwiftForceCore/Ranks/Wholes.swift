// The tensors of all ranks, which limits are about. What must not live here: where the elements of a
// rank's tensors lie (Placement).

/// The tensors of all ranks, in the order of their positions: whole ones, of which a rank has some, or
/// pieces of all.
public struct Wholes: Sendable {
  /// Elements of each.
  public let sizes: [Int]
  /// Which of them the first tensor of this rank is, or is a piece of. The others follow.
  public let first: Int

  public init(sizes: [Int], first: Int) {
    (self.sizes, self.first) = (sizes, first)
  }

  /// Those that this rank has, or has pieces of.
  func range(_ own: Int) -> Range<Int> { first..<first + own }

  /// Numbers of all tensors, from those of this rank; zeros elsewhere.
  func spread(_ own: [Int]) -> [Int] {
    var all = [Int](repeating: 0, count: sizes.count)
    all.replaceSubrange(range(own.count), with: own)
    return all
  }

  /// Checks that they fit a rank's tensors.
  ///
  /// - Throws: `badCount`, `sizeMismatch`.
  func check(_ own: [Int], of total: Int) throws(SFError) {
    let sum = try Selection.sum(sizes)
    guard sum == total else {
      throw .sizeMismatch(.weights, tensor: nil, got: sum, expected: total)
    }
    guard first >= 0, own.count <= sizes.count - first else { throw .badCount(first) }
    for (tensor, size) in own.enumerated() where size > sizes[first + tensor] {
      throw .sizeMismatch(.weights, tensor: tensor, got: size, expected: sizes[first + tensor])
    }
  }
}

extension Limits {
  /// What `body` returns. Errors about a tensor of all ranks become errors about one of this rank's,
  /// or about none if this rank does not have it.
  ///
  /// - Parameter tensors: how many this rank has.
  func namingOwn<Result>(
    _ tensors: Int, _ body: (Limits) throws(SFError) -> Result
  ) throws(SFError) -> Result {
    do throws(SFError) { return try body(self) } catch { throw named(error, tensors) }
  }

  /// The same error about a tensor of this rank; see `namingOwn`.
  func named(_ error: SFError, _ tensors: Int) -> SFError {
    guard let wholes, case .badBounds(let tensor?, let reason) = error else { return error }
    let own = tensor - wholes.first
    return .badBounds(tensor: (0..<tensors).contains(own) ? own : nil, reason: reason)
  }
}
