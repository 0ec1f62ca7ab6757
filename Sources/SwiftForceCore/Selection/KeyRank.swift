// The key of a given rank, digit by digit from the top. Histograms of parts add up to that of the
// whole, whatever the parts: the same steps serve lists in memory, a model that is read again for
// each digit, and one that lies in shards.

/// A search for the key of rank `wanted`, counted from the largest, which narrows it down by one
/// digit at a time.
struct KeyRank<K: BlockKernels> {
  /// The digits known so far, and zeros.
  private(set) var key: K.Key
  /// Ones where digits are known.
  private(set) var known: K.Key
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
    self.init(rank: rank, from: .min, through: .max, digitBits: KeyRank.mostDigitBits)
  }

  private init(rank: Int, from low: K.Key, through high: K.Key, digitBits: Int) {
    wanted = rank
    self.digitBits = digitBits
    remaining = K.Key.bitWidth - (low ^ high).leadingZeroBitCount
    known = ~0 << K.Key(remaining)
    key = low & known
  }

  var isFound: Bool { remaining == 0 }

  private var bits: Int { min(digitBits, remaining) }

  /// The sign is the highest bit of a first digit: turned over, negative keys come first.
  private var flip: K.Key { remaining == K.Key.bitWidth ? 1 << K.Key(bits - 1) : 0 }

  /// Adds the next digit of keys that share the known ones to a histogram.
  @inline(__always)
  func count(_ keys: UnsafePointer<K.Key>, _ count: Int, into bins: UnsafeMutablePointer<Int>) {
    unsafe K.addHistogram(
      keys, count: count, prefix: key, prefixMask: known, shift: K.Key(remaining - bits),
      digitMask: (1 << K.Key(bits)) - 1, flip: flip, to: bins)
  }

  /// Takes the next digit from the histogram of all keys.
  mutating func narrow(_ bins: UnsafePointer<Int>) {
    let (bits, flip) = (bits, flip)
    var above = 0
    var digit = (1 << bits) - 1
    while digit > 0, unsafe above + bins[digit] < wanted {
      unsafe above += bins[digit]
      digit -= 1
    }
    remaining -= bits
    key |= (K.Key(digit) ^ flip) << K.Key(remaining)
    known |= ((1 << K.Key(bits)) - 1) << K.Key(remaining)
    wanted -= above
    unsafe alike = bins[digit]
  }

  /// The key of a rank in several lists.
  ///
  /// - Parameters:
  ///   - low, high: no key lies outside them; what they have in common need not be searched for.
  /// - Complexity: O(n) at most once for each digit; the keys that share the known digits are
  ///   copied where they are fewer, so the later digits are usually those of few keys.
  static func find(
    _ rank: Int, in lists: [[K.Key]], from low: K.Key = .min, through high: K.Key = .max
  ) -> KeyRank<K> {
    var rest = lists
    var count = rest.reduce(0) { $0 + $1.count }
    var search = KeyRank(
      rank: rank, from: low, through: high, digitBits: count < 1 << 12 ? 8 : mostDigitBits)
    search.alike = count
    unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: 1 << search.digitBits) { bins in
      guard let bins = bins.baseAddress else { return }
      while !search.isFound {
        unsafe search.narrow(rest, bins)
        if search.alike < count {
          count = search.alike
          rest = [search.sharing(rest)]
        }
        if count == 1 { search.end(at: rest.lazy.joined().first ?? search.key) }
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

  /// The keys that share the known digits.
  private func sharing(_ lists: [[K.Key]]) -> [K.Key] {
    unsafe [K.Key](unsafeUninitializedCapacity: alike + 1) { shared, filled in
      guard let shared = shared.baseAddress else { return }
      // Writing a key that the next one replaces is cheaper than a branch that the data decides.
      for keys in lists {
        for candidate in keys {
          unsafe shared[filled] = candidate
          filled &+= candidate & known == key ? 1 : 0
        }
      }
    }
  }

  /// Ends the search at the one key that is left.
  private mutating func end(at last: K.Key) {
    key = last
    known = ~0
    remaining = 0
  }
}
