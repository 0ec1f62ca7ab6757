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

  private static var digitBits: Int { 11 }
  /// Counters of one digit.
  static var bins: Int { 1 << digitBits }

  /// - Parameter rank: 1 for the largest.
  init(rank: Int) {
    wanted = rank
    remaining = K.Key.bitWidth
  }

  var isFound: Bool { remaining == 0 }

  private var bits: Int { min(KeyRank.digitBits, remaining) }

  /// The sign is the highest bit of the first digit: turned over, negative keys come first.
  private var flip: K.Key { remaining == K.Key.bitWidth ? 1 << K.Key(bits - 1) : 0 }

  /// Adds the next digit of keys that share the known ones to a histogram.
  @inline(__always)
  func count(_ keys: UnsafePointer<K.Key>, _ count: Int, into bins: UnsafeMutablePointer<Int>) {
    unsafe K.addHistogram(
      keys, count: count, prefix: key, prefixMask: known, shift: K.Key(remaining - bits),
      digitMask: (1 << K.Key(bits)) - 1, flip: flip, to: bins)
  }

  /// Takes the next digit from the histogram of all keys.
  mutating func narrow(_ bins: [Int]) {
    let (bits, flip) = (bits, flip)
    var above = 0
    var digit = (1 << bits) - 1
    while digit > 0, above + bins[digit] < wanted {
      above += bins[digit]
      digit -= 1
    }
    remaining -= bits
    key |= (K.Key(digit) ^ flip) << K.Key(remaining)
    known |= ((1 << K.Key(bits)) - 1) << K.Key(remaining)
    wanted -= above
    alike = bins[digit]
  }

  /// The key of a rank in several lists.
  static func find(_ rank: Int, in lists: [[K.Key]]) -> KeyRank<K> {
    var search = KeyRank(rank: rank)
    while !search.isFound {
      var bins = [Int](repeating: 0, count: KeyRank.bins)
      for keys in lists {
        unsafe keys.withUnsafeBufferPointer { keys in
          unsafe bins.withUnsafeMutableBufferPointer { bins in
            guard let list = keys.baseAddress, let bins = bins.baseAddress else { return }
            unsafe search.count(list, keys.count, into: bins)
          }
        }
      }
      search.narrow(bins)
    }
    return search
  }
}
