// A selection of weights with costs: how many of the best ones a budget pays for. What must not live
// here: which weights those are (MaskSelection), and that scores are divided by costs (Scores).

/// The best weights by score / cost, ties by position, as many as a budget pays for.
///
/// It ends before the first weight that the budget does not pay for, so the masks are those of a
/// fractional knapsack without its fraction (Dantzig, "Discrete-variable extremum problems", 1957):
/// if no score is negative, no masks of a smaller or the same cost have a larger total score, but for
/// the rounding of the quotients.
///
/// - Complexity: one pass over the tensors for each digit of a key, one that counts, and those of a
///   selection of as many weights.
struct BudgetSelection: KernelJob {
  /// What is to be kept is the budget.
  private let selection: MaskSelection
  private let costs: [Int]

  /// - Parameter costs: of one weight of each tensor; checked.
  init(_ selection: MaskSelection, costs: [Int]) {
    var divided = selection
    divided.scores = selection.scores.divided(by: costs)
    self.selection = divided
    self.costs = costs
  }

  func run<K: BlockKernels>(_: K.Type, _ threads: Int) throws(SFError) -> Report {
    let sizes = selection.scores.sizes
    let count = sizes.reduce(0, +)
    let chunks = Chunk.all(of: sizes)
    let pass = BudgetPass<K>(
      scores: selection.scores, costs: costs, wholes: Wholes(sizes: sizes, first: 0), ranks: nil,
      chunks: chunks, workers: workers(threads, chunks, count))
    let found = try pass.affordable(selection.keep)
    // All that compete: without masks before, all there are.
    var selection = selection
    selection.keep = found.count ?? selection.previous?.keep ?? count
    var report = try selection.run(K.self, threads)
    report.passes += found.passes
    return report
  }
}

/// How many of the best weights a budget pays for.
struct BudgetPass<K: BlockKernels> {
  /// Divided by the costs.
  let scores: Scores
  /// Of one weight of each tensor of all ranks.
  let costs: [Int]
  let wholes: Wholes
  /// The processes whose scores compete with these; nil: this process alone.
  let ranks: Ranks?
  let chunks: [Chunk]
  let workers: Int

  /// - Returns: `count` is nil if the budget pays for all weights that compete.
  /// - Throws: `nonFinite`; with ranks also what `Ranks.sum` throws.
  func affordable(_ budget: Int) throws(SFError) -> (count: Int?, passes: Int) {
    let scratches = (0..<workers).map { _ in Scratch<K>() }
    // Costs instead of numbers: the key at which they exceed the budget.
    var search = RadixSelect<K>(rank: budget + 1)
    var passes = 0
    while !search.isFound {
      let (own, areFinite) = costs(search, scratches)
      let failure = areFinite ? nil : scores.nonFiniteError
      let bins = try sum(own, unless: failure)
      unsafe search.narrow(bins)
      passes += 1
    }
    guard search.key > K.excluded else { return (nil, passes) }
    // Of the rank, what exceeds the costs above the key is left for its ties, but for one.
    return (try count(atLeast: search.key, left: search.rank - 1, scratches), passes + 1)
  }

  /// The sums over all ranks.
  private func sum(_ own: [Int], unless failure: SFError? = nil) throws(SFError) -> [Int] {
    if let ranks { return try ranks.sum(own, unless: failure) }
    if let failure { throw failure }
    return own
  }

  /// What a weight of a tensor of this rank costs.
  private func cost(_ tensor: Int) -> Int { costs[wholes.first + tensor] }

  /// The costs of all weights by the next digit of their keys, and whether all scores are finite.
  private func costs(
    _ search: RadixSelect<K>, _ scratches: [Scratch<K>]
  ) -> (bins: [Int], areFinite: Bool) {
    let totals = (0..<workers).map { _ in CostHistogram(bins: RadixSelect<K>.bins) }
    let areFinite = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      let counters = unsafe totals[worker].counters(at: cost(chunks[round].tensor))
      var isFinite = true
      chunks[round].forEachBlock { block in
        isFinite = scores.fill(scratch, for: block) && isFinite
        unsafe search.count(scratch.keys, block.count, into: counters)
      }
      return isFinite
    }
    return (Histogram.sum(totals.map { $0.finished() }), areFinite.allSatisfy(\.self))
  }

  /// How many weights lie above a key, and how many of those at it are paid for from what is left,
  /// the first ones.
  private func count(
    atLeast key: K.Key, left: Int, _ scratches: [Scratch<K>]
  ) throws(SFError) -> Int {
    let bracket = Bracket<K>(around: key)
    let found = Parallel.map(chunks.count, workers: workers) { worker, round in
      let scratch = scratches[worker]
      var (above, ties) = (0, 0)
      chunks[round].forEachBlock { block in
        let statistics = unsafe scores.classify(scratch, block, bracket, into: scratch.mask).found
        above += statistics.above
        ties += statistics.inside
      }
      return (above: above, ties: ties)
    }
    var own = [Int](repeating: 0, count: scores.sizes.count)
    for (chunk, part) in zip(chunks, found) { own[chunk.tensor] += part.ties }
    let sums = try sum([found.reduce(0) { $0 + $1.above }] + wholes.spread(own))
    var count = sums[0]
    var left = left
    for (cost, ties) in zip(costs, sums.dropFirst()) {
      let paid = min(ties, left / cost)
      count += paid
      left -= paid * cost
      if paid < ties { break }
    }
    return count
  }
}

/// The costs of weights by the digit of their keys, of one worker. Weights of one cost are counted
/// before they are multiplied by it.
@safe private final class CostHistogram {
  private let total: Histogram
  private let current: Histogram
  private let bins: Int
  private var cost = 0

  init(bins: Int) {
    self.bins = bins
    total = Histogram(bins: bins)
    current = Histogram(bins: bins)
  }

  /// The counters of weights that cost so much.
  func counters(at cost: Int) -> UnsafeMutablePointer<Int> {
    if cost != self.cost { flush() }
    self.cost = cost
    return unsafe current.bins
  }

  func finished() -> Histogram {
    flush()
    return total
  }

  private func flush() {
    for bin in 0..<bins {
      unsafe total.bins[bin] += current.bins[bin] * cost
      unsafe current.bins[bin] = 0
    }
  }
}
