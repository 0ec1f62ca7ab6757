// Exported: the network engine.

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

private let networks = Handles<Network<Float>>("network")

@_cdecl("sf_network_create")
public func networkCreate(
  _ layers: UnsafePointer<sf_layer>?, _ count: Int64, _ inputShape: UnsafePointer<Int64>?,
  _ rank: Int64, _ seed: UInt64, _ network: UnsafeMutablePointer<Int64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let layers = unsafe try required(layers, "layers")
    let handle = unsafe try required(network, "network")
    let count = try counted(count, atLeast: 1, size: 1 << 38, "the number of layers")
    let shape = unsafe try shape(inputShape, rank)
    var descriptions: [LayerDescription] = []
    for position in 0..<count {
      do throws(Fault) {
        descriptions.append(try description(of: unsafe layers[position]))
      } catch {
        throw error.at(index: position)
      }
    }
    let created = try mapping { () throws(SFError) in
      try Network<Float>(layers: descriptions, inputShape: shape, seed: seed)
    }
    unsafe handle.pointee = networks.add(created)
  }
}

private func description(of layer: sf_layer) throws(Fault) -> LayerDescription {
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
    throw Fault(SF_BAD_COUNT, "an input shape has 1 or 3 extents, not \(rank)")
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
          throw Fault(SF_BAD_COUNT, "there are \(all.count) parameters and room for \(capacity)")
        }
        for (position, parameter) in all.enumerated() {
          unsafe parameters[position] = record(of: parameter)
        }
      }
      unsafe count.pointee = Int64(all.count)
    }
  }
}

private func record(of parameter: Parameter<Float>) -> sf_parameter {
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
  _ network: Int64, _ masks: UnsafePointer<sf_array>?, _ tensors: Int64,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let masks =
      unsafe masks == nil
      ? nil : try Arrays(masks, tensors, SF_OPERAND_MASKS, types: [SF_TYPE_MASK])
    try networks[network].use { (network) throws(Fault) in
      try mapping { () throws(SFError) in try network.apply(masks: masks?.masks) }
    }
  }
}

@_cdecl("sf_network_reset")
public func networkReset(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    try networks[network].use { (network) throws(Fault) in network.resetOptimizer() }
  }
}

@_cdecl("sf_network_gradients")
public func networkGradients(
  _ network: Int64, _ weights: UnsafePointer<sf_array>?, _ gradients: UnsafePointer<sf_array>?,
  _ tensors: Int64, _ batch: UnsafePointer<sf_batch>?, _ running: Int32,
  _ result: UnsafeMutablePointer<sf_batch_result>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let weights =
      unsafe weights == nil
      ? nil : try Arrays(weights, tensors, SF_OPERAND_WEIGHTS, types: [SF_TYPE_FLOAT32])
    let gradients = unsafe try Arrays(
      gradients, tensors, SF_OPERAND_GRADIENTS, isWritten: true)
    let samples = unsafe try Samples(batch, needsLabels: true)
    let result = unsafe try required(result, "result")
    try Region.checkDisjoint([weights, gradients])
    try networks[network].use { (network) throws(Fault) in
      try samples.checkApart(from: gradients, and: network)
      let outcome = try mapping { () throws(SFError) in
        try network.gradients(
          at: weights?.tensors, into: gradients.mutableTensors, batch: samples.batch,
          together: samples.together, normalization: running == 0 ? .batch : .running)
      }
      unsafe result.pointee = record(of: outcome)
    }
  }
}

@_cdecl("sf_network_train")
public func networkTrain(
  _ network: Int64, _ batch: UnsafePointer<sf_batch>?, _ sgd: UnsafePointer<sf_sgd>?,
  _ result: UnsafeMutablePointer<sf_batch_result>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let samples = unsafe try Samples(batch, needsLabels: true)
    let given = unsafe try required(sgd, "sgd").pointee
    let result = unsafe try required(result, "result")
    try networks[network].use { (network) throws(Fault) in
      try samples.checkApart(from: nil, and: network, isTrained: true)
      let outcome = try mapping { () throws(SFError) in
        try network.train(
          batch: samples.batch,
          sgd: SGD(
            learningRate: given.learning_rate, momentum: given.momentum,
            weightDecay: given.weight_decay))
      }
      unsafe result.pointee = record(of: outcome)
    }
  }
}

@_cdecl("sf_network_evaluate")
public func networkEvaluate(
  _ network: Int64, _ batch: UnsafePointer<sf_batch>?,
  _ result: UnsafeMutablePointer<sf_batch_result>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let samples = unsafe try Samples(batch, needsLabels: true)
    let result = unsafe try required(result, "result")
    try networks[network].use { (network) throws(Fault) in
      let outcome = try mapping { () throws(SFError) in
        try network.evaluate(batch: samples.batch)
      }
      unsafe result.pointee = record(of: outcome)
    }
  }
}

@_cdecl("sf_network_forward")
public func networkForward(
  _ network: Int64, _ batch: UnsafePointer<sf_batch>?, _ logits: UnsafePointer<sf_array>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let samples = unsafe try Samples(batch, needsLabels: false)
    let logits = unsafe try Arrays(
      logits, 1, SF_OPERAND_LOGITS, types: [SF_TYPE_FLOAT32], isWritten: true)
    try networks[network].use { (network) throws(Fault) in
      try samples.checkApart(from: logits, and: network)
      try mapping { () throws(SFError) in
        try network.forward(batch: samples.batch, into: logits.mutableTensors[0])
      }
    }
  }
}

@_cdecl("sf_network_release")
public func networkRelease(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in try networks.release(network) }
}

private func record(of result: BatchResult) -> sf_batch_result {
  sf_batch_result(loss: result.loss, correct: Int64(result.correct))
}
