// A pass reads exactly what it wrote: plans are simulated with names in place of numbers. And how
// much memory plans need.

import SwiftForceCore
import Testing

@testable import SwiftForceEngine

struct ActivationPlanTests {
  static let batch = 3

  private func plan(_ architecture: Architecture, includesBackward: Bool) -> ActivationPlan {
    ActivationPlan(
      architecture, batch: ActivationPlanTests.batch, includesBackward: includesBackward,
      workspace: 7)
  }

  @Test(arguments: imageNetworks, [false, true])
  func nothingIsOverwrittenBeforeItIsRead(form: ImageNetwork, includesBackward: Bool) throws {
    let architecture = try Architecture(form.layers, inputShape: form.shape)
    var simulation = PassSimulation(
      architecture, plan(architecture, includesBackward: includesBackward),
      includesBackward: includesBackward)
    simulation.run()
    #expect(simulation.losses == [])
  }

  @Test(arguments: 1...60 as ClosedRange<UInt64>)
  func nothingIsOverwrittenInRandomNetworks(seed: UInt64) throws {
    let form = randomNetwork(seed: seed)
    let architecture = try Architecture(form.layers, inputShape: form.shape)
    for includesBackward in [false, true] {
      var simulation = PassSimulation(
        architecture, plan(architecture, includesBackward: includesBackward),
        includesBackward: includesBackward)
      simulation.run()
      #expect(simulation.losses == [])
    }
  }

  /// A test of the simulation: with the plan of a network with another shortcut, a value is lost.
  @Test func simulationFindsLostValues() throws {
    let form = imageNetworks[1]
    var other = form.layers
    other[5] = .add(4)
    let architecture = try Architecture(form.layers, inputShape: form.shape)
    let plan = plan(try Architecture(other, inputShape: form.shape), includesBackward: false)
    var simulation = PassSimulation(architecture, plan, includesBackward: false)
    simulation.run()
    #expect(simulation.losses.first == "5 does not find value(3)")
  }

  @Test func rectifiersShareTheMemoryOfTheirInputs() throws {
    let form = imageNetworks[0]
    let architecture = try Architecture(form.layers, inputShape: form.shape)
    let there = plan(architecture, includesBackward: false)
    let back = plan(architecture, includesBackward: true)
    for plan in [there, back] {
      #expect(plan.values[3] == plan.values[2])
      #expect(plan.values[2] != plan.values[1])
    }
    // The same holds for its gradient and that of the normalisation below.
    #expect(back.gradients[2] == back.gradients[3])
    #expect(back.gradients[1] == back.gradients[2])
    #expect(back.gradients[0] == nil)
    #expect(there.gradients.count == back.gradients.count)
  }

  /// The sum of a residual network must not overwrite a value that another layer reads.
  @Test func valuesWithSeveralReadersAreNotOverwritten() throws {
    let architecture = try Architecture(imageNetworks[1].layers, inputShape: imageNetworks[1].shape)
    let plan = plan(architecture, includesBackward: true)
    #expect(plan.values[6] == plan.values[5])
    #expect(plan.values[6] != plan.values[3])
    // The gradient at value 3 is written by the sum first; that of the convolution is added.
    #expect(plan.partialGradients[3][0] != nil)
    #expect(plan.partialGradients[5] == [nil, nil])
  }

  /// Evaluation needs the values of two layers at a time, training those of all layers.
  @Test func deepChainsAreEvaluatedInLittleMemory() throws {
    func counts(_ depth: Int) throws -> (evaluation: Int, training: Int) {
      let block: [LayerDescription] = [
        .conv2d(2, 2, kernel: 3, padding: 1), .batchNorm2d(2), .relu,
      ]
      let layers = (0..<depth).flatMap { _ in block } + [.flatten, .linear(32, 2)]
      let architecture = try Architecture(layers, inputShape: [2, 4, 4])
      return (
        plan(architecture, includesBackward: false).count,
        plan(architecture, includesBackward: true).count
      )
    }
    let (shallow, deep) = (try counts(4), try counts(40))
    let value = 32 * ActivationPlanTests.batch
    // Two values and what normalisations save, 6 elements each.
    #expect(shallow.evaluation <= 2 * value + 4 * 16 + 32 + 7)
    #expect(deep.evaluation - shallow.evaluation <= 36 * 16)
    #expect(deep.training >= 80 * value)
    #expect(deep.training > 5 * deep.evaluation)
  }

  /// The lanes of the last block that have no sample take memory, too.
  @Test func gapsAreCounted() throws {
    let architecture = try Architecture(imageNetworks[3].layers, inputShape: imageNetworks[3].shape)
    func count(_ batch: Int) -> Int {
      ActivationPlan(architecture, batch: batch, includesBackward: true, workspace: 0).count
    }
    #expect(count(17) == count(32))
    #expect(count(16) < count(17))
    #expect(count(15) < count(16))
  }

  @Test func workspaceFollowsAllBuffers() throws {
    let architecture = try Architecture(imageNetworks[3].layers, inputShape: imageNetworks[3].shape)
    let plan = plan(architecture, includesBackward: true)
    #expect(plan.workspaceCount == 7)
    #expect(plan.count == plan.workspace + 7)
    for (value, start) in plan.values.enumerated() {
      let count = architecture.shapes[value].features * ActivationPlanTests.batch
      #expect(start + count <= plan.workspace)
    }
  }
}

/// Layers that preserve the shape, each reading an earlier one. Outputs that no layer reads are
/// summed.
func randomNetwork(seed: UInt64) -> ImageNetwork {
  var generator = Generator(seed: seed)
  func next(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
  var layers: [LayerDescription] = [.conv2d(2, 2, kernel: 1)]
  var unread: Set<Int> = [0]
  func append(_ layer: LayerDescription, reading sources: [Int]) {
    unread.subtract(sources)
    unread.insert(layers.count)
    layers.append(layer.reading(sources[0]))
  }
  for _ in 0..<4 + next(9) {
    let source = next(3) == 0 ? next(layers.count + 1) - 1 : layers.count - 1
    switch next(8) {
    case 0: append(.conv2d(2, 2, kernel: 3, padding: 1), reading: [source])
    case 1: append(.batchNorm2d(2), reading: [source])
    case 2: append(.maxPool2d(1), reading: [source])
    case 3: append(.conv2d(2, 2, kernel: 3, padding: 1, groups: 2), reading: [source])
    case 4, 5: append(.relu, reading: [source])
    default:
      let addend = next(layers.count + 1) - 1
      append(.add(addend), reading: [source, addend])
    }
  }
  while let addend = unread.subtracting([layers.count - 1]).min() {
    append(.add(addend), reading: [layers.count - 1, addend])
  }
  append(.flatten, reading: [layers.count - 1])
  append(.linear(24, 2), reading: [layers.count - 1])
  return ImageNetwork(name: "random \(seed)", shape: [2, 4, 3], layers: layers)
}

/// A pass over a network in which every element holds the name of the buffer that it belongs to.
private struct PassSimulation {
  private enum Name: Equatable {
    case nothing
    case value(Int)
    case gradient(Int)
    case partialGradient(Int, Int)
    case saved(Int)
  }

  private let architecture: Architecture
  private let plan: ActivationPlan
  private let includesBackward: Bool
  private let layers: Int
  private var memory: [Name]
  /// Buffers that were overwritten before they were read.
  var losses: [String] = []

  init(_ architecture: Architecture, _ plan: ActivationPlan, includesBackward: Bool) {
    self.architecture = architecture
    self.plan = plan
    self.includesBackward = includesBackward
    layers = architecture.layers.count
    memory = [Name](repeating: .nothing, count: plan.count)
  }

  mutating func run() {
    write(.value(0))
    for layer in 0..<layers { forward(layer) }
    read(.value(layers), "the loss")
    if includesBackward {
      write(.gradient(layers))
      read(.value(layers), "the loss, while it writes its gradient")
      for layer in (0..<layers).reversed() where architecture.needsGradient[layer + 1] {
        backward(layer)
      }
    }
    for layer in 0..<layers { read(.saved(layer), "statistics of \(layer)") }
  }

  private mutating func forward(_ layer: Int) {
    let sources = architecture.sources[layer]
    for source in sources { read(.value(source), "\(layer)") }
    write(.value(layer + 1))
    write(.saved(layer))
    read(.value(layer + 1), "\(layer), its output")
    // Its sources must stay intact until it has written everything, unless it may overwrite them.
    for (place, source) in sources.enumerated() {
      let isSame = plan.values[source] == plan.values[layer + 1]
      if isSame && place == 0 && architecture.layers[layer].needs.mayOverwriteInput { continue }
      read(.value(source), "\(layer), while it writes")
    }
  }

  private mutating func backward(_ layer: Int) {
    let needs = architecture.layers[layer].needs
    let sources = architecture.sources[layer]
    readAll(layer, "\(layer) backward")
    for place in sources.indices.reversed() where architecture.needsGradient[sources[place]] {
      let isPartial = plan.partialGradients[layer][place] != nil
      let target = isPartial ? Name.partialGradient(layer, place) : .gradient(sources[place])
      write(target)
      let isSame = start(of: target) == start(of: .gradient(layer + 1))
      if isSame && place == 0 && needs.mayOverwriteGradient { continue }
      readAll(layer, "\(layer) backward, while it writes")
    }
    for place in sources.indices where architecture.needsGradient[sources[place]] {
      read(.gradient(sources[place]), "\(layer), what it has made")
      if plan.partialGradients[layer][place] != nil {
        read(.partialGradient(layer, place), "\(layer)")
      }
    }
  }

  /// Reads all that a layer's backward pass reads.
  private mutating func readAll(_ layer: Int, _ reader: String) {
    let needs = architecture.layers[layer].needs
    read(.gradient(layer + 1), reader)
    read(.saved(layer), reader)
    if needs.readsOutput { read(.value(layer + 1), reader) }
    if needs.readsInput { read(.value(architecture.sources[layer][0]), reader) }
  }

  private func start(of name: Name) -> Int? {
    switch name {
    case .nothing: nil
    case .value(let value): plan.values[value]
    case .gradient(let value): plan.gradients[value]
    case .partialGradient(let layer, let place): plan.partialGradients[layer][place]
    case .saved(let layer): plan.saved[layer]
    }
  }

  private func range(of name: Name) -> Range<Int>? {
    let batch = ActivationPlanTests.batch
    let count =
      switch name {
      case .nothing: 0
      case .value(let value), .gradient(let value): architecture.shapes[value].features * batch
      case .partialGradient(let layer, let place):
        architecture.shapes[architecture.sources[layer][place]].features * batch
      case .saved(let layer): architecture.layers[layer].needs.saved
      }
    return start(of: name).map { $0..<$0 + count }
  }

  private mutating func write(_ name: Name) {
    guard let range = range(of: name), range.upperBound <= memory.count else {
      return losses.append("\(name) has no memory")
    }
    for i in range { memory[i] = name }
  }

  private mutating func read(_ name: Name, _ reader: String) {
    let isThere = range(of: name)?.allSatisfy { $0 < memory.count && memory[$0] == name } ?? false
    if !isThere { losses.append("\(reader) does not find \(name)") }
  }
}
