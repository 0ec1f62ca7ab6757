// What a pass over a network must keep in memory, and for how long: values between layers, their
// gradients, and what layers save for their backward pass. What must not live here: the memory
// itself.

/// Offsets of all buffers of a pass over samples that are computed together.
///
/// Time runs forward through the layers (layer i at time i), to the loss (time n), and back through
/// the layers (layer i at time 2n - i). A value is live until its last reader has read it. A layer
/// that may overwrite its input does so if nothing needs that input any more.
struct ActivationPlan: Sendable {
  /// The offset of each value.
  let values: [Int]
  /// The offset of the gradient at each value; nil where none is needed.
  let gradients: [Int?]
  /// The offset of what each layer saves for its backward pass.
  let saved: [Int]
  /// For each layer and each value that it reads: the offset of a gradient that is added to the one
  /// already there; nil where the layer is the first to write.
  let partialGradients: [[Int?]]
  /// The offset of the scratch memory of layers and loss.
  let workspace: Int
  let workspaceCount: Int
  /// Elements of all buffers together.
  let count: Int

  /// - Parameters:
  ///   - batch: samples computed together.
  ///   - includesBackward: whether gradients are computed.
  ///   - workspace: elements of scratch memory that the layers and the loss need.
  init(_ architecture: Architecture, batch: Int, includesBackward: Bool, workspace: Int) {
    var builder = AllocationList(
      architecture, batch: batch, includesBackward: includesBackward)
    let saved = architecture.layers.indices.map { builder.addSaved(of: $0) }
    let partialGradients = architecture.layers.indices.map { builder.addPartialGradients(of: $0) }
    let plan = MemoryPlan(builder.allocations)
    values = builder.values.map { plan.offsets[$0] }
    gradients = builder.gradients.map { $0.map { plan.offsets[$0] } }
    self.saved = saved.map { plan.offsets[$0] }
    self.partialGradients = partialGradients.map { $0.map { $0.map { plan.offsets[$0] } } }
    self.workspace = plan.count
    workspaceCount = workspace
    count = plan.count + workspace
  }
}

/// The allocations of a plan. Values that share memory share an allocation, which is live as long
/// as any of them is; the same holds for gradients.
private struct AllocationList {
  let architecture: Architecture
  /// The samples that memory is needed for, those of the gap included.
  let padded: Int
  let includesBackward: Bool
  var allocations: [MemoryPlan.Allocation] = []
  /// The allocation of each value.
  private(set) var values: [Int] = []
  /// The allocation of the gradient at each value; nil where none is needed.
  private(set) var gradients: [Int?]

  private var layers: Int { architecture.layers.count }

  init(_ architecture: Architecture, batch: Int, includesBackward: Bool) {
    self.architecture = architecture
    padded = Shape.padded(batch: batch)
    self.includesBackward = includesBackward
    gradients = [Int?](repeating: nil, count: architecture.shapes.count)
    for value in architecture.shapes.indices { addValue(value) }
    if includesBackward {
      for value in architecture.shapes.indices.reversed() { addGradient(value) }
    }
  }

  /// Value 0 is the input; value v is the output of layer v - 1.
  private mutating func addValue(_ value: Int) {
    let made = max(value - 1, 0)
    let needed = lastUse(ofValue: value)
    if value > 0, canOverwriteInput(made) {
      let shared = values[architecture.sources[made][0]]
      allocations[shared].last = max(allocations[shared].last, needed)
      values.append(shared)
    } else {
      values.append(add(architecture.shapes[value].features * padded, made, needed))
    }
  }

  private func canOverwriteInput(_ layer: Int) -> Bool {
    let value = architecture.sources[layer][0]
    guard architecture.layers[layer].needs.mayOverwriteInput,
      architecture.readers[value] == [layer]
    else { return false }
    guard includesBackward, value > 0 else { return true }
    return !(runsBackward(value - 1) && architecture.layers[value - 1].needs.readsOutput)
  }

  /// Whether a layer's `backward` is called.
  private func runsBackward(_ layer: Int) -> Bool {
    includesBackward && architecture.needsGradient[layer + 1]
  }

  private func lastUse(ofValue value: Int) -> Int {
    var last = value == layers ? layers : value
    for reader in architecture.readers[value] {
      let isRead = runsBackward(reader) && architecture.layers[reader].needs.readsInput
      last = max(last, isRead ? 2 * layers - reader : reader)
    }
    if value > 0, runsBackward(value - 1), architecture.layers[value - 1].needs.readsOutput {
      last = max(last, 2 * layers - (value - 1))
    }
    return last
  }

  /// A gradient is live from the backward pass of the value's last reader, which writes it first,
  /// to that of the layer that made the value, which reads it.
  private mutating func addGradient(_ value: Int) {
    guard architecture.needsGradient[value] else { return }
    let readers = architecture.readers[value]
    let made = 2 * layers - (value - 1)
    if readers.count == 1, architecture.layers[readers[0]].needs.mayOverwriteGradient,
      architecture.sources[readers[0]][0] == value, let shared = gradients[readers[0] + 1]
    {
      allocations[shared].last = max(allocations[shared].last, made)
      gradients[value] = shared
    } else {
      let written = readers.last.map { 2 * layers - $0 } ?? layers
      gradients[value] = add(architecture.shapes[value].features * padded, written, made)
    }
  }

  /// What a layer saves is live to the end of the pass, when running statistics are updated from
  /// it.
  mutating func addSaved(of layer: Int) -> Int {
    add(architecture.layers[layer].needs.saved, layer, 2 * layers + 1)
  }

  /// A gradient of a value that is not the first one to be written is added to what is there.
  mutating func addPartialGradients(of layer: Int) -> [Int?] {
    guard runsBackward(layer) else { return architecture.sources[layer].map { _ in nil } }
    let time = 2 * layers - layer
    return architecture.sources[layer].enumerated().map { position, value in
      guard architecture.needsGradient[value] else { return nil }
      let isFirst =
        architecture.readers[value].last == layer
        && architecture.sources[layer].firstIndex(of: value) == position
      return isFirst ? nil : add(architecture.shapes[value].features * padded, time, time)
    }
  }

  private mutating func add(_ size: Int, _ first: Int, _ last: Int) -> Int {
    allocations.append(MemoryPlan.Allocation(size: size, first: first, last: last))
    return allocations.count - 1
  }
}
