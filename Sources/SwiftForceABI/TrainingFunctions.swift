// Exported: the calls of a network that take a batch: gradients, training steps, evaluation,
// outputs. What must not live here: networks themselves (NetworkFunctions.swift).

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

@_cdecl("sf_network_gradients")
public func networkGradients(
  _ network: Int64, _ weights: UnsafePointer<sf_array>?, _ gradients: UnsafePointer<sf_array>?,
  _ tensors: Int64, _ batch: UnsafePointer<sf_batch>?, _ running: Int32,
  _ ofZeros: Int32, _ loss: Int32, _ temperature: Double,
  _ result: UnsafeMutablePointer<sf_batch_result>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.arguments(tensors, lists: 3)) { () throws(Fault) in
    let weights =
      unsafe weights == nil
      ? nil : try Arrays(weights, tensors, SF_OPERAND_WEIGHTS, types: [SF_TYPE_FLOAT32])
    let gradients = unsafe try Arrays(
      gradients, tensors, SF_OPERAND_GRADIENTS, isWritten: true)
    let samples = unsafe try BatchArguments(batch, needsLabels: true)
    let result = unsafe try required(result, "result")
    let kind = try named(loss, LossKind.self)
    let loss = try mappingErrors { () throws(SFError) in
      try Loss(kind, temperature: temperature)
    }
    try Region.checkDisjoint([weights, gradients])
    try networks[network].use { (network) throws(Fault) in
      let makesLists = weights != nil
      try samples.holdingMemory(for: network, makesLists: makesLists) { () throws(Fault) in
        try samples.checkDisjoint(from: gradients, and: network)
        let outcome = try mappingErrors { () throws(SFError) in
          try network.gradients(
            at: weights?.tensors, into: gradients.mutableTensors, batch: samples.batch,
            together: samples.together, normalization: running == 0 ? .batch : .running,
            ofZeros: ofZeros != 0, loss: loss)
        }
        unsafe result.pointee = record(of: outcome)
      }
    }
  }
}

@_cdecl("sf_network_train")
public func networkTrain(
  _ network: Int64, _ batch: UnsafePointer<sf_batch>?, _ sgd: UnsafePointer<sf_sgd>?,
  _ result: UnsafeMutablePointer<sf_batch_result>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let samples = unsafe try BatchArguments(batch, needsLabels: true)
    let given = unsafe try required(sgd, "sgd").pointee
    let result = unsafe try required(result, "result")
    try networks[network].use { (network) throws(Fault) in
      try samples.holdingMemory(for: network) { () throws(Fault) in
        try samples.checkDisjoint(from: nil, and: network, isTrained: true)
        let outcome = try mappingErrors { () throws(SFError) in
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
}

@_cdecl("sf_network_evaluate")
public func networkEvaluate(
  _ network: Int64, _ batch: UnsafePointer<sf_batch>?,
  _ result: UnsafeMutablePointer<sf_batch_result>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let samples = unsafe try BatchArguments(batch, needsLabels: true)
    let result = unsafe try required(result, "result")
    try networks[network].use { (network) throws(Fault) in
      try samples.holdingMemory(for: network) { () throws(Fault) in
        let outcome = try mappingErrors { () throws(SFError) in
          try network.evaluate(batch: samples.batch)
        }
        unsafe result.pointee = record(of: outcome)
      }
    }
  }
}

@_cdecl("sf_network_forward")
public func networkForward(
  _ network: Int64, _ batch: UnsafePointer<sf_batch>?, _ logits: UnsafePointer<sf_array>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let samples = unsafe try BatchArguments(batch, needsLabels: false)
    let logits = unsafe try Arrays(
      logits, 1, SF_OPERAND_LOGITS, types: [SF_TYPE_FLOAT32], isWritten: true)
    try networks[network].use { (network) throws(Fault) in
      try samples.holdingMemory(for: network) { () throws(Fault) in
        try samples.checkDisjoint(from: logits, and: network)
        try mappingErrors { () throws(SFError) in
          try network.forward(batch: samples.batch, into: logits.mutableTensors[0])
        }
      }
    }
  }
}

private func record(of result: BatchResult) -> sf_batch_result {
  sf_batch_result(loss: result.loss, correct: Int64(result.correct))
}
