// The positions of a stratified random sample. What must not live here: what is read there, and how
// large the sample is (Bracket).

/// A random position in each of `size` strata, equally long runs of `count` positions.
struct StratifiedSample {
  private let whole: Int
  /// In units of 2^-64.
  private let fraction: UInt64

  init(count: Int, size: Int) {
    let (whole, rest) = count.quotientAndRemainder(dividingBy: size)
    self.whole = whole
    fraction = UInt64(size).dividingFullWidth((UInt64(rest), 0)).quotient
  }

  /// Where stratum `i` begins: the integer part of i count / size, or one less.
  private func start(_ i: Int) -> Int {
    i * whole + Int(fraction.multipliedFullWidth(by: UInt64(i)).high)
  }

  /// The sampled position in stratum `i`.
  func position(_ i: Int) -> Int {
    let start = start(i)
    let length = UInt64(self.start(i + 1) - start)
    return start + Int(length.multipliedFullWidth(by: Generator.number(at: i, seed: 0x5EED)).high)
  }
}
