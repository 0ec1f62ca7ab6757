// Exported: creating networks, their parameters and masks. What must not live here: calls that take
// a batch (TrainingFunctions.swift).

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

let networks = Handles<Network<Float>>("network")

@_cdecl("sf_network_create")
public func networkCreate(
  _ layers: UnsafePointer<sf_layer>?, _ count: Int64, _ inputShape: UnsafePointer<Int64>?,
  _ rank: Int64, _ seed: UInt64, _ network: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  // A count that is out of range is refused before anything is allocated.
  let memory = (1...1 << 24).contains(count) ? NetworkMemory.creation(layers: Int(count)) : 0
  return unsafe status(error, memory: memory + networks.growth) { () throws(Fault) in
    let layers = unsafe try required(layers, "layers")
    let handle = unsafe try required(network, "network")
    let count = try counted(count, atLeast: 1, size: 1 << 38, "the number of layers")
    let shape = unsafe try shape(inputShape, rank)
    var descriptions: [LayerDescription] = []
    descriptions.reserveCapacity(count)
    for position in 0..<count {
      do throws(Fault) {
        descriptions.append(try description(of: unsafe layers[position]))
      } catch {
        throw error.at(index: position)
      }
    }
    let created = try mappingErrors { () throws(SFError) in
      try Network<Float>(layers: descriptions, inputShape: shape, seed: seed)
    }
    for position in created.parameters.indices { created.holds.end(position) }
    unsafe handle.pointee = networks.add(created, unlocked: created.holds)
  }
}

func description(of layer: sf_layer) throws(Fault) -> LayerDescription {
  var description = LayerDescription(kind: try named(layer.kind, LayerKind.self))
  (description.inputs, description.outputs) = (Int(layer.inputs), Int(layer.outputs))
  (description.kernel, description.stride) = (Int(layer.kernel), Int(layer.stride))
  (description.padding, description.groups) = (Int(layer.padding), Int(layer.groups))
  (description.momentum, description.epsilon) = (layer.momentum, layer.epsilon)
  description.hasBias = layer.has_bias != 0
  description.source = Int(layer.source)
  description.addend = layer.addend == SF_NO_LAYER ? nil : Int(layer.addend)
  return description
}

private func shape(_ extents: UnsafePointer<Int64>?, _ rank: Int64) throws(Fault) -> [Int]? {
  if unsafe extents == nil && rank == 0 { return nil }
  let extents = unsafe try required(extents, "input_shape")
  guard rank == 1 || rank == 3 else {
    throw Fault(SF_BAD_COUNT, "an input shape must have 1 or 3 dimensions, not \(rank)")
  }
  return (0..<Int(rank)).map { unsafe Int(extents[$0]) }
}

@_cdecl("sf_network_sizes")
public func networkSizes(
  _ network: Int64, _ features: UnsafeMutablePointer<Int64>?,
  _ classes: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let features = unsafe try required(features, "features")
    let classes = unsafe try required(classes, "classes")
    try networks[network].use { (network) throws(Fault) in
      unsafe features.pointee = Int64(network.features)
      unsafe classes.pointee = Int64(network.classes)
    }
  }
}

@_cdecl("sf_network_parameters")
public func networkParameters(
  _ network: Int64, _ parameters: UnsafeMutablePointer<sf_parameter>?, _ capacity: Int64,
  _ count: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let parameters = unsafe try optional(parameters, "parameters")
    let count = unsafe try required(count, "count")
    try networks[network].use { (network) throws(Fault) in
      let all = network.parameters
      if let parameters = unsafe parameters {
        guard capacity >= Int64(all.count) else {
          throw Fault(
            SF_BAD_COUNT,
            "capacity must be at least \(all.count), the number of parameters, not \(capacity)")
        }
        for (position, parameter) in all.enumerated() {
          unsafe parameters[position] = record(of: parameter)
        }
      }
      unsafe count.pointee = Int64(all.count)
    }
  }
}

func record(of parameter: Parameter<Float>) -> sf_parameter {
  var record = unsafe sf_parameter()
  unsafe record.data = parameter.view.base
  unsafe record.layer = Int64(parameter.layer)
  unsafe record.role = Int32(parameter.role.rawValue)
  unsafe record.rank = Int32(parameter.shape.count)
  unsafe withUnsafeMutableBytes(of: &record.shape) { bytes in
    let extents = unsafe bytes.bindMemory(to: Int64.self)
    for (axis, extent) in parameter.shape.prefix(extents.count).enumerated() {
      unsafe extents[axis] = Int64(extent)
    }
  }
  return unsafe record
}

@_cdecl("sf_network_apply")
public func networkApply(
  _ network: Int64, _ masks: UnsafePointer<sf_array>?, _ tensors: Int64, _ sparse: Int32,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.arguments(tensors, lists: 2)) { () throws(Fault) in
    let masks =
      unsafe masks == nil
      ? nil : try Arrays(masks, tensors, SF_OPERAND_MASKS, types: [SF_TYPE_MASK])
    try networks[network].use { (network) throws(Fault) in
      let makesLists = masks != nil && sparse != 0
      try holding(makesLists ? network.listsBound : 0) { () throws(Fault) in
        try mappingErrors { () throws(SFError) in
          try network.apply(masks: masks?.masks, isSparse: sparse != 0)
        }
      }
    }
  }
}

@_cdecl("sf_network_plan")
public func networkPlan(
  _ network: Int64, _ plans: UnsafeMutablePointer<sf_weight_plan>?, _ capacity: Int64,
  _ count: UnsafeMutablePointer<Int64>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let plans = unsafe try optional(plans, "plans")
    let count = unsafe try required(count, "count")
    try networks[network].use { (network) throws(Fault) in
      let all = network.plan
      if let plans = unsafe plans {
        guard capacity >= Int64(all.count) else {
          throw Fault(
            SF_BAD_COUNT,
            "capacity must be at least \(all.count), the number of weights, not \(capacity)")
        }
        for (position, plan) in all.enumerated() {
          unsafe plans[position] = sf_weight_plan(
            kept: Int64(plan.kept), is_sparse: plan.isSparse ? 1 : 0,
            limit: Int32((1000 * plan.limit).rounded()),
            multiply_adds: Int64(plan.multiplyAdds))
        }
      }
      unsafe count.pointee = Int64(all.count)
    }
  }
}

@_cdecl("sf_network_release")
public func networkRelease(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in try networks.release(network) }
}
