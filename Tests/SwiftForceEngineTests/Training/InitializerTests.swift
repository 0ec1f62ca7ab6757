// The distribution of initial weights, and their dependence on the seed alone.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct InitializerTests {
  private func moments(_ values: [Float]) -> (mean: Double, variance: Double, kurtosis: Double) {
    let n = Double(values.count)
    let mean = values.reduce(0.0) { $0 + Double($1) } / n
    let second = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / n
    let fourth = values.reduce(0.0) { sum, x in
      let d = (Double(x) - mean) * (Double(x) - mean)
      return sum + d * d
    }
    return (mean, second, fourth / n / (second * second))
  }

  /// Bounds of five standard errors: of the mean sqrt(v / n), of the variance v sqrt(2 / n), of the
  /// kurtosis sqrt(24 / n).
  @Test(arguments: [(784, 100), (100, 301), (5, 9000)])
  func weightsAreKaimingNormal(inputs: Int, outputs: Int) throws {
    let network = try Network<Float>(layers: [.linear(inputs, outputs)], seed: 7)
    let weights = network.values[0]
    let (mean, variance, kurtosis) = moments(weights)
    let n = Double(weights.count)
    let expected = 2 / Double(inputs)
    #expect(mean.magnitude < 5 * (expected / n).squareRoot())
    #expect((variance - expected).magnitude < 5 * expected * (2 / n).squareRoot())
    #expect((kurtosis - 3).magnitude < 5 * (24 / n).squareRoot())
    #expect(areExactZeros(network.values[1]))
  }

  @Test func neighboursAreNotCorrelated() throws {
    let weights = try Network<Double>(layers: [.linear(200, 200)], seed: 11).values[0]
    let products = zip(weights, weights.dropFirst()).map { $0 * $1 * 100 }
    let mean = products.reduce(0, +) / Double(products.count)
    #expect(mean.magnitude < 5 / Double(products.count).squareRoot())
  }

  @Test func seedDeterminesTheWeights() throws {
    let layers: [LayerDescription] = [.linear(30, 20), .relu, .linear(20, 20)]
    let first = try Network<Float>(layers: layers, seed: 1).values
    #expect(try Network<Float>(layers: layers, seed: 1).values == first)
    let other = try Network<Float>(layers: layers, seed: 2).values
    #expect(zip(other[0], first[0]).allSatisfy { $0 != $1 })
    // Two parameters of one network draw from different streams, and a tensor's values do not
    // depend on the size of another.
    #expect(zip(first[0], first[2]).allSatisfy { $0 != $1 })
    let wider = try Network<Float>(layers: [.linear(30, 20), .linear(20, 40)], seed: 1).values
    #expect(wider[0] == first[0])
    #expect(Array(wider[2].prefix(400)) == first[2])
  }

  /// The values do not depend on chunks, at odd sizes too.
  @Test(arguments: [1, 2, 4095, 4096, 4097, 12_289])
  func chunksHaveNoEffect(count: Int) throws {
    let arena = try Arena<Double>(count: count)
    KaimingNormal(seed: 5).fill(arena.all, fanIn: 2, stream: 3)
    var sequence = NormalSequence(generator: Generator(seed: 5, stream: 3))
    #expect(arena.values == sequence.next(count))
  }

  @Test func floatIsTheRoundedDouble() throws {
    let layers: [LayerDescription] = [.linear(17, 13)]
    let doubles = try Network<Double>(layers: layers, seed: 9).values[0]
    #expect(try Network<Float>(layers: layers, seed: 9).values[0] == doubles.map { Float($0) })
  }
}
