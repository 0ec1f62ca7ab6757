// The key of a given rank, digit by digit from the top. Histograms of parts add up to that of the
// whole, whatever the parts: the same steps serve a list in memory, a model that is read again for
// each digit, and one that lies in shards.

/// A search for the key of rank `wanted`, counted from the largest, which narrows it down by one
/// digit at a time.
struct KeyRank<K: BlockKernels> {
  /// The digits known so far, and zeros.
  private(set) var key: K.Key = 0
  /// Ones where digits are known.
  private(set) var known: K.Key = 0
  /// The rank among the keys that share the known digits; once all are known, how many of the keys
  /// that equal `key` are at or above the rank.
  private(set) var wanted: Int
  /// How many keys share the known digits.
  private(set) var alike = 0
  private var remaining: Int

  private let digitBits: Int
  /// Counters of one digit.
  static var bins: Int { 1 << mostDigitBits }
  private static var mostDigitBits: Int { 11 }

  /// - Parameter rank: 1 for the largest.
  init(rank: Int) {
    self.init(rank: rank, digitBits: KeyRank.mostDigitBits)
  }

  private init(rank: Int, digitBits: Int) {
    wanted = rank
    self.digitBits = digitBits
    remaining = K.Key.bitWidth
  }

  var isFound: Bool { remaining == 0 }

  private var bits: Int { min(digitBits, remaining) }

  /// Adds the next digit of keys that share the known ones to a histogram.
  @inline(__always)
  func count(_ keys: UnsafePointer<K.Key>, _ count: Int, into bins: UnsafeMutablePointer<Int>) {
    unsafe K.addHistogram(
      keys, count: count, prefix: key, prefixMask: known, shift: K.Key(remaining - bits),
      digitMask: (1 << K.Key(bits)) - 1, to: bins)
  }

  /// Takes the next digit from the histogram of all keys.
  mutating func narrow(_ bins: UnsafePointer<Int>) {
    let bits = bits
    var above = 0
    var digit = (1 << bits) - 1
    while digit > 0, unsafe above + bins[digit] < wanted {
      unsafe above += bins[digit]
      digit -= 1
    }
    remaining -= bits
    key |= K.Key(digit) << K.Key(remaining)
    known |= ((1 << K.Key(bits)) - 1) << K.Key(remaining)
    wanted -= above
    unsafe alike = bins[digit]
  }

  /// The key of a rank in a list.
  ///
  /// - Complexity: O(n) at most once for each digit; the keys that share the known digits are
  ///   copied, so the later digits are usually those of few keys.
  static func find(_ rank: Int, in keys: [K.Key]) -> KeyRank<K> {
    var search = KeyRank(rank: rank, digitBits: keys.count < 1 << 12 ? 8 : mostDigitBits)
    unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: 1 << search.digitBits) { bins in
      guard let bins = bins.baseAddress else { return }
      var rest = keys
      repeat {
        rest = unsafe rest.withUnsafeBufferPointer { unsafe search.narrow($0, bins) } ?? rest
      } while !search.isFound
    }
    return search
  }

  /// Takes the next digit of keys that share the known ones.
  ///
  /// - Returns: those of them that share this one, too; nil where all do.
  private mutating func narrow(
    _ keys: UnsafeBufferPointer<K.Key>, _ bins: UnsafeMutablePointer<Int>
  ) -> [K.Key]? {
    guard keys.count > 1, let list = keys.baseAddress else {
      // Nothing is left to tell apart.
      unsafe end(at: keys.first ?? 0)
      return nil
    }
    unsafe bins.initialize(repeating: 0, count: 1 << bits)
    unsafe count(list, keys.count, into: bins)
    unsafe narrow(bins)
    guard alike < keys.count else { return nil }
    let (known, key) = (known, key)
    return unsafe [K.Key](unsafeUninitializedCapacity: alike + 1) { rest, filled in
      guard let rest = rest.baseAddress else { return }
      var next = 0
      // Writing a key that the next one replaces is cheaper than a branch that the data decides.
      for i in 0..<keys.count {
        let candidate = unsafe list[i]
        unsafe rest[next] = candidate
        let isAlike = candidate & known == key ? 1 : 0
        next &+= isAlike
      }
      filled = next
    }
  }

  /// Ends the search at the one key that is left.
  private mutating func end(at last: K.Key) {
    key = last
    known = ~0
    remaining = 0
    alike = 1
  }
}
