// Where the samples of a batch lie in an activation. What must not live here: channels and images.

/// The samples of a batch, in blocks.
///
/// Feature f of sample s lies at ((s / lanes) * features + f) * lanes + s % lanes.
struct SparseBatch: Sendable, Equatable {
  let samples: Int
  /// Samples of a block, a multiple of 16.
  let lanes: Int

  /// The samples of a point.
  static var width: Int { 16 }

  /// - Parameter isFlat: whether all samples are one block, as in activations that are no images.
  init(samples: Int, isFlat: Bool) {
    self.samples = samples
    lanes = isFlat ? samples.roundedUp(toMultipleOf: SparseBatch.width) : SparseBatch.width
  }

  /// How many times sixteen samples there are.
  var parts: Int { (samples + SparseBatch.width - 1) / SparseBatch.width }

  /// The elements of all samples, those included that do not exist.
  func elements(features: Int) -> Int { parts * SparseBatch.width * features }

  /// The distance between the same feature of two successive parts.
  func step(features: Int) -> Int {
    lanes > SparseBatch.width ? SparseBatch.width : features * lanes
  }
}

/// Where the points of a batch read and write.
struct PointPlaces {
  let plan: ListPlan
  let batch: SparseBatch
  /// Elements of a channel of the target.
  let targetSize: Int

  /// Where a point of a class begins in the source and in the target. Items are the points of the
  /// first sixteen samples, then those of the next.
  func place(_ item: Int, _ form: PointClass) -> (source: Int, target: Int) {
    let (part, number) = item.quotientAndRemainder(dividingBy: form.points.count)
    let point = form.points.lowerBound + number
    return (
      Int(plan.points.origins[point]) * batch.lanes
        + part * batch.step(features: plan.sources * plan.points.sourceSize),
      Int(plan.points.targets[point]) * batch.lanes
        + part * batch.step(features: plan.targets * targetSize)
    )
  }
}
