// Which lists of layers make a network, and what is said about those that do not.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct ArchitectureTests {
  @Test func namesOfLayerKindsAreTheOrderThatCallersCountBy() {
    #expect(LayerKind.names == ["linear", "relu"])
  }

  @Test func sizesComeFromTheLayers() throws {
    let architecture = try Architecture([.relu, .linear(7, 5), .relu, .linear(5, 2)])
    #expect(architecture.shapes.map(\.features) == [7, 7, 5, 5, 2])
    #expect(architecture.inputFeatures == 7)
    #expect(architecture.outputFeatures == 2)
    #expect(architecture.firstTrainable == 1)
  }

  struct Fault: Sendable, CustomTestStringConvertible {
    let layers: [LayerDescription]
    let layer: Int
    let reason: String

    var testDescription: String { reason }
  }

  static let largest = Int(Int32.max)

  @Test(arguments: [
    Fault(layers: [], layer: 0, reason: "a network needs at least one linear layer"),
    Fault(layers: [.relu, .relu], layer: 0, reason: "a network needs at least one linear layer"),
    Fault(
      layers: [.linear(3, 0)], layer: 0,
      reason: "linear outputs must be in 1 ... 2147483647, not 0"),
    Fault(
      layers: [.linear(3, 2), .linear(-2, 2)], layer: 1,
      reason: "linear inputs must be in 1 ... 2147483647, not -2"),
    Fault(
      layers: [.linear(largest + 1, 2)], layer: 0,
      reason: "linear inputs must be in 1 ... 2147483647, not 2147483648"),
    Fault(
      layers: [.linear(Int.max, Int.max)], layer: 0,
      reason: "linear inputs must be in 1 ... 2147483647, not 9223372036854775807"),
    Fault(
      layers: [.linear(3, 2), .relu, .linear(3, 2)], layer: 2,
      reason: "takes 3 features where 2 come in"),
    Fault(
      layers: [.linear(3, 2), LayerDescription(kind: .relu, outputs: 2)], layer: 1,
      reason: "relu keeps its input's size and takes none"),
    Fault(
      layers: [.linear(2, 2), .linear(2, largest), .linear(largest, largest)], layer: 2,
      reason: "more than 1099511627776 parameters or activations so far"),
    Fault(
      layers: [.linear(1, largest)] + [LayerDescription](repeating: .relu, count: 9), layer: 2,
      reason: "more than 1099511627776 parameters or activations so far"),
  ])
  func faultNamesLayerAndReason(fault: Fault) {
    #expect(throws: SFError.badArchitecture(layer: fault.layer, reason: fault.reason)) {
      try Network<Float>(layers: fault.layers, seed: 0)
    }
  }
}
