// Scores: what each saliency computes, what it reads, and what it refuses.

import SwiftForceCore
import Testing

/// Weights, gradients, and an array for scores.
private struct Scoring {
  let weights: Memory<Float>
  let gradients: Memory<Float>
  let scores: Memory<Float>

  init(weights: [Float], gradients: [Float]) {
    self.weights = Memory(weights)
    self.gradients = Memory(gradients)
    scores = Memory([Float](repeating: -5, count: weights.count))
  }

  func score(
    _ saliency: Saliency, sizes: [Int], withGradients: Bool = true, seed: UInt64 = 3
  ) throws {
    try withExtendedLifetime(self) {
      try Selection.score(
        saliency, weights: weights.tensors(sizes),
        gradients: withGradients ? gradients.tensors(sizes) : nil, seed: seed,
        into: scores.mutableTensors(sizes))
    }
  }

  var isUnwritten: Bool { scores.isIntact && scores.values.allSatisfy { $0 == -5 } }
}

@Suite struct SaliencyTests {
  @Test func whatEachReads() {
    let reads = Saliency.allCases.map { [$0.readsWeights, $0.readsGradients] }
    #expect(
      reads == [[true, true], [false, true], [true, false], [false, false], [false, false]])
    #expect(Saliency.allCases.map(\.readsArrays) == [true, true, false, false, true])
  }

  @Test(arguments: Saliency.allCases.filter { $0 != .given })
  func scoresAreTheDefinition(saliency: Saliency) throws {
    for count in [1, 2, 7, 8, 9, 63, 4095, 4096, 4097] {
      for kind in [Kind.mixedSigns, .signedZeros, .denormals] {
        let weights = kind.values(count)
        let gradients = shortNumbers(count, seed: 5)
        let expected = saliency.scores(weights: weights, gradients: gradients, seed: 3)
        for sizes in splits(of: count).suffix(count < 100 ? 5 : 1) {
          let scoring = Scoring(weights: weights, gradients: gradients)
          try scoring.score(saliency, sizes: sizes)
          #expect(scoring.scores.bits == expected.map(\.bitPattern), "\(kind) \(count) \(sizes)")
          #expect(scoring.scores.isIntact)
          #expect(scoring.weights.bits == weights.map(\.bitPattern))
        }
      }
    }
  }

  @Test(arguments: Saliency.allCases.filter { $0 != .given })
  func gradientsMayBeAbsentWhereTheyAreNotRead(saliency: Saliency) throws {
    let scoring = Scoring(weights: [1, -2, 3], gradients: [1, 1, 1])
    let error = failure { try scoring.score(saliency, sizes: [3], withGradients: false) }
    #expect(error == (saliency.readsGradients ? .missingGradients : nil))
    #expect(scoring.isUnwritten == saliency.readsGradients)
  }

  @Test func randomScoresDependOnSeedAndPositionAlone() throws {
    func scores(_ sizes: [Int], _ seed: UInt64) throws -> [Float] {
      let scoring = Scoring(weights: Kind.random.values(9000), gradients: Kind.random.values(9000))
      try scoring.score(.random, sizes: sizes, seed: seed)
      return scoring.scores.values
    }
    let whole = try scores([9000], 1)
    #expect(try whole == scores([10, 0, 8990], 1))
    #expect(try whole != scores([9000], 2))
    #expect(whole.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect(Set(whole).count > 8990)
    #expect(abs(whole.reduce(0, +) / 9000 - 0.5) < 0.02)
  }

  /// Every saliency, also one that does not read the weights, names a weight that is not finite.
  @Test(arguments: Saliency.allCases.filter { $0 != .given }, [Float.nan, .infinity, -.infinity])
  func aWeightThatIsNotFiniteIsNamed(saliency: Saliency, value: Float) throws {
    // A gradient of zero must not hide an infinite weight.
    for gradient in [0, 1] as [Float] {
      var weights = Kind.random.values(12)
      weights[5] = value
      weights[6] = value
      let scoring = Scoring(
        weights: weights, gradients: [Float](repeating: gradient, count: 12))
      let error = failure { try scoring.score(saliency, sizes: [3, 0, 9]) }
      guard case .nonFinite(let found) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(found.operand == .weights)
      #expect(found.tensor == 2)
      #expect(found.firstIndex == 2)
      #expect(found.count == 2)
      #expect(value.isNaN ? found.value.isNaN : found.value == Double(value))
      #expect(scoring.scores.isIntact)
    }
  }

  @Test(
    arguments: [Saliency.connectionSensitivity, .squaredGradient],
    [Float.nan, .infinity, -.infinity])
  func aGradientThatIsNotFiniteIsNamed(saliency: Saliency, value: Float) {
    for weight in [0, 1] as [Float] {
      var gradients = Kind.random.values(12)
      gradients[11] = value
      let scoring = Scoring(
        weights: [Float](repeating: weight, count: 12), gradients: gradients)
      let error = failure { try scoring.score(saliency, sizes: [11, 1]) }
      guard case .nonFinite(let found) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      #expect(found.operand == .gradients)
      #expect(found.tensor == 1)
      #expect(found.firstIndex == 0)
      #expect(found.count == 1)
      #expect(scoring.scores.isIntact)
    }
  }

  /// Both factors are finite, but their product overflows: the error names the scores.
  @Test(arguments: [Saliency.connectionSensitivity, .squaredGradient])
  func aScoreThatOverflowsIsNamed(saliency: Saliency) {
    let scoring = Scoring(
      weights: [1, 1, 0x1p100, 1, -0x1p100], gradients: [1, 1, 0x1p100, 1, 0x1p100])
    let expected = NonFinite(
      operand: .scores, tensor: 1, firstIndex: 1, count: 2, value: .infinity)
    #expect(failure { try scoring.score(saliency, sizes: [1, 4]) } == .nonFinite(expected))
    #expect(scoring.scores.isIntact)
  }

  @Test func givenScoresAreNotComputed() {
    let scoring = Scoring(weights: [1, 2], gradients: [1, 2])
    #expect(failure { try scoring.score(.given, sizes: [2]) } == .scoresAreGiven)
    #expect(scoring.isUnwritten)
  }

  @Test func sizesMustAgree() {
    let scoring = Scoring(weights: [1, 2, 3], gradients: [1, 2, 3])
    withExtendedLifetime(scoring) {
      let (weights, gradients) = (scoring.weights, scoring.gradients)
      #expect(throws: SFError.sizeMismatch(.gradients, tensor: 1, got: 0, expected: 2)) {
        try Selection.score(
          .connectionSensitivity, weights: weights.tensors([1, 2]),
          gradients: [gradients.tensors([1, 2])[0], gradients.tensors([3, 0])[1]], seed: 0,
          into: scoring.scores.mutableTensors([1, 2]))
      }
      #expect(throws: SFError.sizeMismatch(.scores, tensor: nil, got: 1, expected: 2)) {
        try Selection.score(
          .magnitude, weights: weights.tensors([1, 2]), gradients: nil, seed: 0,
          into: scoring.scores.mutableTensors([3]))
      }
      #expect(throws: SFError.badCount(0)) {
        try Selection.score(.random, weights: [], gradients: nil, seed: 0, into: [])
      }
      #expect(scoring.isUnwritten)
    }
  }
}
