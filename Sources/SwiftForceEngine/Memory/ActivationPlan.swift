// What a pass over a network has to remember, and for how long: the values between layers, their
// gradients, and what layers keep for themselves. What must not live here: the memory itself.

/// The places of everything that flows through a network for samples computed together.
///
/// Time runs through the layers forward (layer i at time i), the loss (at n), and the layers back
/// (layer i at 2n - i). A value is needed until its last reader has read it; a layer that may write
/// over what it reads does so where nobody needs that any more.
struct ActivationPlan: Sendable {
  /// Where each value begins.
  let values: [Int]
  /// Where the gradient at each value begins; nil where none is needed.
  let gradients: [Int?]
  /// Where each layer's own kept numbers begin.
  let kept: [Int]
  /// Where a layer writes a gradient that is to be added to another: one per reading of a value.
  let additions: [[Int?]]
  /// Room for layers to work in, and for the loss.
  let workspace: Int
  let workspaceCount: Int
  /// Everything together.
  let count: Int

  /// - Parameters:
  ///   - batch: samples computed together.
  ///   - goesBack: whether gradients are computed.
  ///   - workspace: numbers that the layers and the loss need to work in.
  init(_ architecture: Architecture, batch: Int, goesBack: Bool, workspace: Int) {
    var homes = Homes(architecture, batch: batch, goesBack: goesBack)
    let values = architecture.shapes.indices.map { homes.home(ofValue: $0) }
    let gradients = architecture.shapes.indices.map { homes.home(ofGradient: $0) }
    let kept = architecture.layers.indices.map { homes.addKept(of: $0) }
    let additions = architecture.layers.indices.map { homes.addAdditions(of: $0) }
    let plan = MemoryPlan(homes.tenants)
    self.values = values.map { plan.offsets[$0] }
    self.gradients = gradients.map { $0.map { plan.offsets[$0] } }
    self.kept = kept.map { plan.offsets[$0] }
    self.additions = additions.map { $0.map { $0.map { plan.offsets[$0] } } }
    self.workspace = plan.count
    workspaceCount = workspace
    count = plan.count + workspace
  }
}

/// The tenants of a plan. Values that share memory share a tenant, which stays as long as any of
/// them is needed; so do gradients.
private struct Homes {
  let architecture: Architecture
  let batch: Int
  let goesBack: Bool
  var tenants: [MemoryPlan.Tenant] = []
  private var valueHomes: [Int] = []
  private var gradientHomes: [Int?]

  private var layers: Int { architecture.layers.count }

  init(_ architecture: Architecture, batch: Int, goesBack: Bool) {
    self.architecture = architecture
    self.batch = batch
    self.goesBack = goesBack
    gradientHomes = [Int?](repeating: nil, count: architecture.shapes.count)
    for value in architecture.shapes.indices { addValue(value) }
    if goesBack {
      for value in architecture.shapes.indices.reversed() { addGradient(value) }
    }
  }

  func home(ofValue value: Int) -> Int { valueHomes[value] }
  func home(ofGradient value: Int) -> Int? { gradientHomes[value] }

  /// Values after the input; value v is made by layer v - 1.
  private mutating func addValue(_ value: Int) {
    let made = max(value - 1, 0)
    let needed = lastNeed(ofValue: value)
    if value > 0, canOverwriteInput(made) {
      let home = valueHomes[architecture.sources[made][0]]
      tenants[home].last = max(tenants[home].last, needed)
      valueHomes.append(home)
    } else {
      valueHomes.append(add(architecture.shapes[value].features * batch, made, needed))
    }
  }

  private func canOverwriteInput(_ layer: Int) -> Bool {
    let value = architecture.sources[layer][0]
    guard architecture.layers[layer].needs.mayOverwriteInput,
      architecture.readers[value] == [layer]
    else { return false }
    guard goesBack, value > 0 else { return true }
    return !(runsBack(value - 1) && architecture.layers[value - 1].needs.readsOutput)
  }

  /// Whether a layer's `backward` is called.
  private func runsBack(_ layer: Int) -> Bool {
    goesBack && architecture.needsGradient[layer + 1]
  }

  private func lastNeed(ofValue value: Int) -> Int {
    var last = value == layers ? layers : value
    for reader in architecture.readers[value] {
      let isRead = runsBack(reader) && architecture.layers[reader].needs.readsInput
      last = max(last, isRead ? 2 * layers - reader : reader)
    }
    if value > 0, runsBack(value - 1), architecture.layers[value - 1].needs.readsOutput {
      last = max(last, 2 * layers - (value - 1))
    }
    return last
  }

  /// From where the first of its readers, on the way back, writes it, to where its maker reads it.
  private mutating func addGradient(_ value: Int) {
    guard architecture.needsGradient[value] else { return }
    let readers = architecture.readers[value]
    let made = 2 * layers - (value - 1)
    if readers.count == 1, architecture.layers[readers[0]].needs.mayOverwriteGradient,
      architecture.sources[readers[0]][0] == value, let home = gradientHomes[readers[0] + 1]
    {
      tenants[home].last = max(tenants[home].last, made)
      gradientHomes[value] = home
    } else {
      let written = readers.last.map { 2 * layers - $0 } ?? layers
      gradientHomes[value] = add(architecture.shapes[value].features * batch, written, made)
    }
  }

  /// What a layer keeps is kept to the end: running statistics follow it then.
  mutating func addKept(of layer: Int) -> Int {
    add(architecture.layers[layer].needs.kept, layer, 2 * layers + 1)
  }

  /// Every gradient of a value but the first that is written is added to it.
  mutating func addAdditions(of layer: Int) -> [Int?] {
    guard runsBack(layer) else { return architecture.sources[layer].map { _ in nil } }
    let time = 2 * layers - layer
    return architecture.sources[layer].enumerated().map { place, value in
      guard architecture.needsGradient[value] else { return nil }
      let isFirst =
        architecture.readers[value].last == layer
        && architecture.sources[layer].firstIndex(of: value) == place
      return isFirst ? nil : add(architecture.shapes[value].features * batch, time, time)
    }
  }

  private mutating func add(_ size: Int, _ first: Int, _ last: Int) -> Int {
    tenants.append(MemoryPlan.Tenant(size: size, first: first, last: last))
    return tenants.count - 1
  }
}
