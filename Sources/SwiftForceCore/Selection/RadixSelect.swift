// Radix selection: the key of a given rank, digit by digit from the top. Histograms of parts add up
// to the histogram of the whole. The same steps therefore serve lists in memory, tensors that are
// read once per digit, and tensors on several machines. Of few keys in memory the range is halved
// instead. What must not live here: how the histograms are counted over tensors (RadixPass) or
// summed over ranks (Ranks).

/// A search for the key of a given rank, counted from the largest, one digit at a time.
struct RadixSelect<K: BlockKernels> {
  /// The digits known so far, followed by zeros.
  private(set) var key: K.Key
  /// Ones where digits are known.
  private(set) var knownBits: K.Key
  /// The rank among the keys that share the known digits. Once all digits are known: how many of
  /// the keys equal to `key` are at or above the rank.
  private(set) var rank: Int
  /// How many keys share the known digits.
  private(set) var matches = 0
  private var remainingBits: Int

  /// Counters of one digit.
  static var bins: Int { 1 << digitBits }
  private static var digitBits: Int { 11 }

  /// - Parameter rank: 1 for the largest key.
  init(rank: Int) { self.init(rank: rank, from: .min, through: .max) }

  private init(rank: Int, from low: K.Key, through high: K.Key) {
    self.rank = rank
    remainingBits = K.Key.bitWidth - (low ^ high).leadingZeroBitCount
    knownBits = ~0 << K.Key(remainingBits)
    key = low & knownBits
  }

  var isFound: Bool { remainingBits == 0 }

  private var bits: Int { min(RadixSelect.digitBits, remainingBits) }

  /// The highest bit of the first digit is the sign. Flipping it puts negative keys first.
  private var flip: K.Key { remainingBits == K.Key.bitWidth ? 1 << K.Key(bits - 1) : 0 }

  /// Adds the next digit of the keys that share the known digits to a histogram.
  @inline(__always)
  func count(_ keys: UnsafePointer<K.Key>, _ count: Int, into bins: UnsafeMutablePointer<Int>) {
    unsafe K.addHistogram(
      keys, count: count, prefix: key, prefixMask: knownBits, shift: K.Key(remainingBits - bits),
      digitMask: (1 << K.Key(bits)) - 1, flip: flip, to: bins)
  }

  /// Takes the next digit from the histogram of all keys.
  mutating func narrow(_ bins: UnsafePointer<Int>) {
    let (bits, flip) = (bits, flip)
    var above = 0
    var digit = (1 << bits) - 1
    while digit > 0, unsafe above + bins[digit] < rank {
      unsafe above += bins[digit]
      digit -= 1
    }
    remainingBits -= bits
    key |= (K.Key(digit) ^ flip) << K.Key(remainingBits)
    knownBits |= ((1 << K.Key(bits)) - 1) << K.Key(remainingBits)
    rank -= above
    unsafe matches = bins[digit]
  }

  /// The key of a rank among the keys of several lists.
  ///
  /// - Parameters:
  ///   - low, high: bounds of all keys; the leading bits that they share are not searched for.
  /// - Complexity: O(n) at most once per digit, or per bit of fewer than `bisected` keys. If fewer
  ///   keys are left, those are copied, so that later turns usually look at few keys.
  static func find(
    _ rank: Int, in lists: [[K.Key]], from low: K.Key = .min, through high: K.Key = .max
  ) -> RadixSelect<K> {
    var rest = lists
    var count = rest.reduce(0) { $0 + $1.count }
    var search = RadixSelect(rank: rank, from: low, through: high)
    search.matches = count
    if count < bisected {
      search.bisect(rest.count == 1 ? rest[0] : [K.Key](rest.joined()), from: low, through: high)
      return search
    }
    unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: bins) { bins in
      guard let bins = bins.baseAddress else { return }
      while !search.isFound {
        unsafe search.narrow(rest, bins)
        if search.matches < count {
          count = search.matches
          // Those that share the known digits.
          let range = search.key...(search.key | ~search.knownBits)
          rest = [keys(of: rest, in: range, count: count)]
        }
        if count == 1 { search.finish(with: rest.lazy.joined().first ?? search.key) }
      }
    }
    return search
  }

  /// Takes the next digit of the keys of several lists.
  private mutating func narrow(_ lists: [[K.Key]], _ bins: UnsafeMutablePointer<Int>) {
    unsafe bins.initialize(repeating: 0, count: 1 << bits)
    for keys in lists {
      unsafe keys.withUnsafeBufferPointer { keys in
        guard let list = keys.baseAddress else { return }
        unsafe count(list, keys.count, into: bins)
      }
    }
    unsafe narrow(bins)
  }

  /// The keys of several lists that are in a range, of which there are `count`.
  private static func keys(
    of lists: [[K.Key]], in range: ClosedRange<K.Key>, count: Int
  ) -> [K.Key] {
    unsafe [K.Key](unsafeUninitializedCapacity: count + 1) { found, filled in
      guard let found = found.baseAddress else { return }
      // The distance from the lower bound as a number without a sign: one comparison for both.
      let span = K.Key.Magnitude(truncatingIfNeeded: range.upperBound &- range.lowerBound)
      // Always writing, and letting the next key overwrite, is cheaper than a branch on the data.
      for keys in lists {
        for key in keys {
          unsafe found[filled] = key
          let distance = K.Key.Magnitude(truncatingIfNeeded: key &- range.lowerBound)
          filled &+= distance <= span ? 1 : 0
        }
      }
    }
  }

  /// With fewer keys the range of the key is halved: they are counted in vectors, from the first level
  /// of the cache. A histogram would take a turn of eight instructions for each key.
  private static var bisected: Int { 1 << 12 }

  /// Finds the key of the rank among few keys, all of which are in `low` ... `high`.
  private mutating func bisect(_ keys: [K.Key], from low: K.Key, through high: K.Key) {
    var (keys, low, high) = (keys, low, high)
    // How many keys are at least `low`, how many are above `high`, and how many of those are gone.
    var (atLeast, above, gone) = (keys.count, 0, 0)
    while low < high {
      // The mean, rounded up, of two numbers whose sum may overflow.
      let middle = (low | high) - ((low ^ high) >> 1)
      let found = unsafe keys.withUnsafeBufferPointer { keys in
        guard let list = keys.baseAddress else { return gone }
        return unsafe gone + K.atLeast(middle, list, count: keys.count)
      }
      if found >= rank {
        (low, atLeast) = (middle, found)
      } else {
        (high, above) = (middle - 1, found)
      }
      // Few are left of those that are counted: copy them.
      if atLeast - above <= keys.count / 4 {
        keys = RadixSelect.keys(of: [keys], in: low...high, count: atLeast - above)
        gone = above
      }
    }
    (matches, rank) = (atLeast - above, rank - above)
    finish(with: low)
  }

  /// Ends the search at the only key that is left.
  private mutating func finish(with last: K.Key) {
    key = last
    knownBits = ~0
    remainingBits = 0
  }
}
