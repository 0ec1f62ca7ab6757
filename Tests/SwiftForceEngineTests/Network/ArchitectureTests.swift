// Which lists of layers make a network, and the errors for those that do not.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct ArchitectureTests {
  @Test func layerKindsAndRolesAreNumberedInOrder() {
    #expect(
      LayerKind.names == [
        "linear", "relu", "conv2d", "batch_norm2d", "max_pool2d", "avg_pool2d", "global_avg_pool2d",
        "flatten", "add",
      ])
    #expect(ParameterRole.names == ["weight", "bias", "scale", "mean", "variance"])
    #expect(ParameterRole.allCases.map(\.rawValue) == [0, 1, 2, 3, 4])
  }

  @Test func sizesComeFromTheLayers() throws {
    let layers: [LayerDescription] = [.relu, .linear(7, 5), .relu, .linear(5, 2)]
    let architecture = try Architecture(layers, inputShape: nil)
    #expect(architecture.shapes.map(\.features) == [7, 7, 5, 5, 2])
    #expect(architecture.inputFeatures == 7)
    #expect(architecture.outputFeatures == 2)
    #expect(architecture.needsGradient == [false, false, true, true, true])
    #expect(architecture.normalizingLayers.isEmpty)
  }

  @Test func imagesBecomeFeatures() throws {
    let layers: [LayerDescription] = [
      .conv2d(3, 4, kernel: 3, stride: 2, padding: 1), .batchNorm2d(4), .relu,
      .add(1), .maxPool2d(3, stride: 2), .avgPool2d(2), .flatten, .linear(4, 2),
    ]
    let architecture = try Architecture(layers, inputShape: [3, 14, 11])
    #expect(
      architecture.shapes.map(\.dimensions) == [
        [3, 14, 11], [4, 7, 6], [4, 7, 6], [4, 7, 6], [4, 7, 6], [4, 3, 2], [4, 1, 1], [4], [2],
      ])
    #expect(architecture.sources == [[0], [1], [2], [3, 2], [4], [5], [6], [7]])
    #expect(architecture.readers == [[0], [1], [2, 3], [3], [4], [5], [6], [7], []])
    #expect(!architecture.normalizingLayers.isEmpty)
    let pooled = try Architecture(
      [.conv2d(3, 4, kernel: 1), .globalAvgPool2d, .linear(4, 2)], inputShape: [3, 14, 11])
    #expect(pooled.shapes[2] == Shape(dimensions: [4]))
    // Values before all parameters need no gradient.
    let early = try Architecture([.maxPool2d(2), .flatten, .linear(4, 2)], inputShape: [1, 4, 4])
    #expect(early.needsGradient == [false, false, false, true])
  }

  @Test func inputShapeMayBeGiven() throws {
    let layers: [LayerDescription] = [.linear(12, 2)]
    for shape in [[12], [3, 2, 2], [1, 12, 1]] {
      #expect(try Architecture(layers, inputShape: shape).inputFeatures == 12)
    }
  }

  struct Fault: Sendable, CustomTestStringConvertible {
    var inputShape: [Int]?
    let layers: [LayerDescription]
    let layer: Int
    let reason: String

    var testDescription: String { "\(layer): \(reason)" }
  }

  private func expect(_ fault: Fault) {
    #expect(throws: SFError.badArchitecture(layer: fault.layer, reason: fault.reason)) {
      try Network<Float>(layers: fault.layers, inputShape: fault.inputShape, seed: 0)
    }
  }

  static let largest = Int(Int32.max)

  @Test(arguments: [
    Fault(layers: [], layer: 0, reason: "a network needs at least one linear layer"),
    Fault(layers: [.relu, .relu], layer: 0, reason: "a network needs at least one linear layer"),
    Fault(
      inputShape: [3], layers: [], layer: 0,
      reason: "a network needs at least one layer with parameters below its output"),
    Fault(
      inputShape: [2, 3, 3], layers: [.relu, .flatten], layer: 0,
      reason: "a network needs at least one layer with parameters below its output"),
    Fault(
      layers: [.linear(3, 3), .relu.reading(-1)], layer: 0,
      reason: "a network needs at least one layer with parameters below its output"),
    Fault(
      layers: [.linear(3, 0)], layer: 0, reason: "outputs must be in 1 ... 2147483647, not 0"),
    Fault(
      layers: [.linear(3, 2), .linear(-2, 2)], layer: 1,
      reason: "inputs must be in 1 ... 2147483647, not -2"),
    Fault(
      layers: [.linear(largest + 1, 2)], layer: 0,
      reason: "inputs must be in 1 ... 2147483647, not 2147483648"),
    Fault(
      layers: [.linear(Int.max, Int.max)], layer: 0,
      reason: "inputs must be in 1 ... 2147483647, not 9223372036854775807"),
    Fault(
      layers: [.linear(3, 2), .relu, .linear(3, 2)], layer: 2,
      reason: "expects 3 input features but receives 2"),
    Fault(
      inputShape: [3, 2, 2], layers: [.linear(3, 2)], layer: 0,
      reason: "expects 3 input features but receives 12"),
    Fault(
      layers: [.linear(2, 2), .linear(2, largest), .linear(largest, largest)], layer: 2,
      reason: "the network has more than 1099511627776 parameters or activations"),
    Fault(
      layers: [.linear(1, largest)] + [LayerDescription](repeating: .relu, count: 9), layer: 2,
      reason: "the network has more than 1099511627776 parameters or activations"),
    Fault(
      inputShape: [1 << 20, 1 << 15, 1], layers: [.conv2d(1 << 20, 1, kernel: 1)], layer: 0,
      reason: "the network has more than 1099511627776 parameters or activations"),
  ])
  func faultNamesLayerAndReason(fault: Fault) { expect(fault) }

  @Test(arguments: [
    Fault(
      inputShape: [], layers: [.linear(3, 2)], layer: 0,
      reason: "an input shape must be (features) or (channels, height, width), not []"),
    Fault(
      inputShape: [3, 3], layers: [.linear(9, 2)], layer: 0,
      reason: "an input shape must be (features) or (channels, height, width), not [3, 3]"),
    Fault(
      inputShape: [3, 0, 3], layers: [.linear(9, 2)], layer: 0,
      reason: "an input shape must be (features) or (channels, height, width), not [3, 0, 3]"),
    Fault(
      inputShape: [largest, largest, largest], layers: [.linear(9, 2)], layer: 0,
      reason: "the input shape [2147483647, 2147483647, 2147483647] is too large"),
    Fault(
      layers: [.relu, .conv2d(3, 2, kernel: 3)], layer: 1,
      reason: "conv2d as the first layer with a size needs an input shape"),
    Fault(
      layers: [.flatten, .linear(3, 2)], layer: 0,
      reason: "flatten as the first layer with a size needs an input shape"),
    Fault(
      inputShape: [12], layers: [.linear(12, 12), .conv2d(3, 2, kernel: 1)], layer: 1,
      reason: "conv2d expects (channels, height, width) but receives 12 features"),
    Fault(
      inputShape: [12], layers: [.batchNorm2d(12)], layer: 0,
      reason: "batch_norm2d expects (channels, height, width) but receives 12 features"),
    Fault(
      inputShape: [12], layers: [.linear(12, 4), .maxPool2d(2)], layer: 1,
      reason: "max_pool2d expects (channels, height, width) but receives 4 features"),
    Fault(
      inputShape: [12], layers: [.avgPool2d(2)], layer: 0,
      reason: "avg_pool2d expects (channels, height, width) but receives 12 features"),
    Fault(
      inputShape: [12], layers: [.globalAvgPool2d], layer: 0,
      reason: "global_avg_pool2d expects (channels, height, width) but receives 12 features"),
  ])
  func invalidInputShapesAreRefused(fault: Fault) { expect(fault) }

  /// A list of one layer whose input is an image of 3 x 7 x 5, and its error.
  private static func image(_ layer: LayerDescription, _ reason: String) -> Fault {
    Fault(inputShape: [3, 7, 5], layers: [layer], layer: 0, reason: reason)
  }

  @Test(arguments: [
    image(.conv2d(2, 4, kernel: 3), "expects 2 input channels but receives 3"),
    image(.conv2d(0, 4, kernel: 3), "input channels must be in 1 ... 2147483647, not 0"),
    image(.conv2d(3, -4, kernel: 3), "output channels must be in 1 ... 2147483647, not -4"),
    image(.conv2d(3, 4, kernel: 0), "kernel must be in 1 ... 2147483647, not 0"),
    image(.conv2d(3, 4, kernel: 3, stride: 0), "stride must be in 1 ... 2147483647, not 0"),
    image(.conv2d(3, 4, kernel: 3, padding: -1), "padding must be in 0 ..< kernel, not -1"),
    image(.conv2d(3, 4, kernel: 3, padding: 3), "padding must be in 0 ..< kernel, not 3"),
    image(
      .conv2d(3, 4, kernel: 3, padding: .max), "padding must be in 0 ..< kernel, not \(Int.max)"),
    image(.conv2d(3, 4, kernel: 6), "a kernel of 6 does not fit into 5 with padding 0"),
    image(.conv2d(3, 4, kernel: 8), "a kernel of 8 does not fit into 7 with padding 0"),
    image(.conv2d(3, 4, kernel: 9, padding: 1), "a kernel of 9 does not fit into 5 with padding 1"),
    image(
      .conv2d(3, 3, kernel: 3, groups: 2),
      "groups must be 1, or as many as the input and output channels, not 2"),
    image(
      .conv2d(3, 6, kernel: 3, groups: 3),
      "groups must be 1, or as many as the input and output channels, not 3"),
    image(
      .conv2d(3, 3, kernel: 3, groups: 0),
      "groups must be 1, or as many as the input and output channels, not 0"),
    image(
      .conv2d(3, largest, kernel: 1 << 20, padding: (1 << 20) - 1),
      "more than 1099511627776 weights"),
    Fault(
      inputShape: [1, 1 << 16, 1 << 4], layers: [.conv2d(1, 1 << 21, kernel: 1)], layer: 0,
      reason: "more than 1099511627776 outputs"),
  ])
  func impossibleConvolutions(fault: Fault) { expect(fault) }

  @Test(arguments: [
    image(.batchNorm2d(4), "expects 4 input channels but receives 3"),
    image(.batchNorm2d(3, momentum: -0.1), "momentum must be in 0 ... 1, not -0.1"),
    image(.batchNorm2d(3, momentum: 1.5), "momentum must be in 0 ... 1, not 1.5"),
    image(.batchNorm2d(3, momentum: .nan), "momentum must be in 0 ... 1, not nan"),
    image(.batchNorm2d(3, epsilon: 0), "epsilon must be above 0 and finite, not 0.0"),
    image(.batchNorm2d(3, epsilon: -1), "epsilon must be above 0 and finite, not -1.0"),
    image(.batchNorm2d(3, epsilon: .infinity), "epsilon must be above 0 and finite, not inf"),
    image(.batchNorm2d(3, epsilon: .nan), "epsilon must be above 0 and finite, not nan"),
    image(.maxPool2d(6), "a window of 6 does not fit into 7 x 5"),
    image(.avgPool2d(8), "a window of 8 does not fit into 7 x 5"),
    image(.maxPool2d(0), "kernel must be in 1 ... 2147483647, not 0"),
    image(.avgPool2d(2, stride: 0), "stride must be in 1 ... 2147483647, not 0"),
    image(.maxPool2d(2, stride: -1), "stride must be in 1 ... 2147483647, not -1"),
  ])
  func impossibleNormalizationsAndPools(fault: Fault) { expect(fault) }

  @Test(arguments: [
    Fault(
      inputShape: [3, 7, 5], layers: [.conv2d(3, 3, kernel: 3), .add(-1)], layer: 1,
      reason: "cannot add shapes [3, 5, 3] and [3, 7, 5]"),
    Fault(
      inputShape: [3, 2, 2], layers: [.conv2d(3, 3, kernel: 1), .flatten, .add(0)], layer: 2,
      reason: "cannot add shapes [12] and [3, 2, 2]"),
    Fault(
      layers: [.linear(3, 3), LayerDescription(kind: .add)], layer: 1,
      reason: "add needs a second layer to read"),
    Fault(
      layers: [.linear(3, 3), .add(1)], layer: 1,
      reason: "reads layer 1, which does not come before it"),
    Fault(
      layers: [.linear(3, 3), .add(-2)], layer: 1,
      reason: "reads layer -2, which does not come before it"),
    Fault(
      layers: [.linear(3, 3), .relu.reading(2), .relu], layer: 1,
      reason: "reads layer 2, which does not come before it"),
    Fault(
      layers: [.linear(3, 3).reading(0)], layer: 0,
      reason: "reads layer 0, which does not come before it"),
    Fault(
      layers: [.linear(3, 3), .linear(3, 3), .relu.reading(0)], layer: 1,
      reason: "no layer reads its output"),
  ])
  func invalidConnections(fault: Fault) { expect(fault) }

  @Test func onlyAddReadsASecondLayer() {
    for kind in LayerKind.allCases where kind != .add {
      var layer = LayerDescription(kind: kind)
      layer.addend = -1
      let reason = "only add reads a second layer"
      expect(Fault(inputShape: [3, 7, 5], layers: [layer], layer: 0, reason: reason))
    }
  }

  /// Every field that a kind does not use is refused by name.
  @Test(arguments: LayerKind.allCases)
  func fieldsThatAKindDoesNotUseAreRefused(kind: LayerKind) {
    let everything: [(name: String, change: (inout LayerDescription) -> Void)] = [
      ("inputs", { $0.inputs = 3 }), ("outputs", { $0.outputs = 3 }), ("kernel", { $0.kernel = 1 }),
      ("stride", { $0.stride = 1 }), ("padding", { $0.padding = -1 }),
      ("groups", { $0.groups = 1 }),
      ("momentum", { $0.momentum = 0.5 }), ("epsilon", { $0.epsilon = .nan }),
      ("bias", { $0.hasBias = true }),
    ]
    let (layer, taken): (LayerDescription, [String]) =
      switch kind {
      case .linear: (.linear(105, 2, bias: false), ["inputs", "outputs", "bias"])
      case .conv2d:
        (
          .conv2d(3, 2, kernel: 1, bias: false),
          ["inputs", "outputs", "kernel", "stride", "padding", "groups", "bias"]
        )
      case .batchNorm2d: (.batchNorm2d(3), ["inputs", "momentum", "epsilon"])
      case .maxPool2d: (.maxPool2d(1), ["kernel", "stride"])
      case .avgPool2d: (.avgPool2d(1), ["kernel", "stride"])
      case .add: (.add(-1), [])
      case .relu, .flatten, .globalAvgPool2d: (LayerDescription(kind: kind), [])
      }
    for (name, change) in everything where !taken.contains(name) {
      var changed = layer
      change(&changed)
      let reason = "\(kind.name) takes no \(name)"
      expect(Fault(inputShape: [3, 7, 5], layers: [changed], layer: 0, reason: reason))
    }
  }
}
