// Where the numbers of a channel lie in an activation. What must not live here: loops.

/// Runs of numbers, one for each block of samples. A run holds the samples of its block for one
/// position of the image after another.
public struct ChannelRuns: Sendable {
  /// The number of runs.
  public let count: Int
  /// The numbers of a run.
  public let length: Int
  /// The distance between two runs.
  public let stride: Int
  /// How many of each 16 numbers of the last run, the last ones, belong to no sample.
  public let gap: Int

  /// - Parameter gap: 0 ... 15. If it is not 0, `length` must be a multiple of 16.
  public init(count: Int, length: Int, stride: Int, gap: Int = 0) {
    self.count = count
    self.length = length
    self.stride = stride
    self.gap = gap
  }

  /// How many numbers belong to samples.
  public var numbers: Int { count * length - length / 16 * gap }
}
