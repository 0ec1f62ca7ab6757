// Core's tensors give the same results as vectors.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct NetworkTensorsTests {
  let network: Network<Float>
  let data: DataSet<Float>

  init() throws {
    network = try makeNetwork(architectures[1])
    data = try DataSet(samples: 30, features: 5, classes: 3)
  }

  private func tensors(_ arenas: [Arena<Float>]) -> [Tensor] {
    arenas.map { unsafe Tensor($0.all.base, count: $0.count, type: .float32) }
  }

  private func mutableTensors(_ arenas: [Arena<Float>]) -> [MutableTensor] {
    arenas.map { unsafe MutableTensor($0.all.base, count: $0.count, type: .float32) }
  }

  @Test func gradientsAgree() throws {
    let other = try makeNetwork(architectures[1], seed: 4, as: Float.self)
    let weights = try other.weightValues.map { try Arena($0) }
    let targets = try network.weightSizes.map { try Arena<Float>(count: $0) }
    try data.withBatch { batch in
      let result = try network.gradients(
        at: tensors(weights), into: mutableTensors(targets), batch: batch)
      let expected = try other.gradients(batch)
      // The two networks differ in their weights alone.
      #expect(result == expected.result)
      #expect(targets.map(\.values) == expected.values)
    }
    #expect(weights.map(\.values) == other.weightValues)
  }

  @Test func logitsAgree() throws {
    let target = try Arena<Float>(count: 90)
    try data.withBatch { batch in
      try network.forward(batch: batch, into: mutableTensors([target])[0])
      let expected = try network.logits(batch)
      #expect(target.values == expected)
    }
  }

  @Test func sizesAreChecked() throws {
    let targets = try [Arena<Float>(count: 30), Arena<Float>(count: 17)]
    try data.withBatch { batch in
      #expect(throws: SFError.sizeMismatch(.gradients, tensor: 1, got: 17, expected: 18)) {
        try network.gradients(at: nil as [Tensor]?, into: mutableTensors(targets), batch: batch)
      }
    }
  }
}
