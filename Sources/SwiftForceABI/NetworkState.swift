// Exported: the state of a network: who holds its parameters, their copy, momentum, its masks. What
// must not live here: calls that take a batch (TrainingFunctions.swift).

import CSwiftForce
import SwiftForceCore
import SwiftForceEngine

/// The index of a parameter.
private func index(_ parameter: Int64, of count: Int) throws(Fault) -> Int {
  guard parameter >= 0, parameter < Int64(count) else {
    throw Fault(SF_BAD_COUNT, "a parameter must be in 0 ..< \(count), not \(parameter)")
  }
  return Int(parameter)
}

@_cdecl("sf_network_hold")
public func networkHold(
  _ network: Int64, _ number: Int64, _ parameter: UnsafeMutablePointer<sf_parameter>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let parameter = unsafe try required(parameter, "parameter")
    try networks[network].use { (network) throws(Fault) in
      let number = try index(number, of: network.parameters.count)
      network.hold(number)
      unsafe parameter.pointee = record(of: network.parameters[number])
    }
  }
}

// What must succeed when memory is short allocates nothing, and holds nothing back.

@_cdecl("sf_network_end_hold")
public func networkEndHold(
  _ network: Int64, _ number: Int64, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { (_: FloatingPoint) throws(Fault) in
    guard let holds = try networks[network].unlocked as? Holds else { return }
    holds.end(try index(number, of: holds.count))
  }
}

@_cdecl("sf_network_magnitudes")
public func networkMagnitudes(
  _ network: Int64, _ magnitudes: UnsafeMutablePointer<Double>?, _ count: Int64,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    let magnitudes = unsafe try required(magnitudes, "magnitudes")
    try networks[network].use { (network) throws(Fault) in
      let expected = network.parameters.count
      guard count == Int64(expected) else {
        throw Fault(
          SF_BAD_COUNT, "count must be \(expected), the number of parameters, not \(count)")
      }
      for number in 0..<expected {
        unsafe magnitudes[number] = Double(network.largestMagnitude(number))
      }
    }
  }
}

@_cdecl("sf_network_remember")
public func networkRemember(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    try networks[network].use { (network) throws(Fault) in
      try holding(NetworkMemory.creation(layers: network.parameters.count)) { () throws(Fault) in
        try mappingErrors { () throws(SFError) in try network.remember() }
      }
    }
  }
}

@_cdecl("sf_network_restore")
public func networkRestore(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { (_: FloatingPoint) throws(Fault) in
    try networks[network].use { (network) throws(Fault) in network.restore() }
  }
}

@_cdecl("sf_network_forget")
public func networkForget(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { (_: FloatingPoint) throws(Fault) in
    try networks[network].use { (network) throws(Fault) in network.forget() }
  }
}

@_cdecl("sf_network_reset")
public func networkReset(_ network: Int64, _ error: UnsafeMutablePointer<sf_error>?) -> Int32 {
  unsafe status(error) { () throws(Fault) in
    try networks[network].use { (network) throws(Fault) in network.resetOptimizer() }
  }
}

@_cdecl("sf_network_masks")
public func networkMasks(
  _ network: Int64, _ masks: UnsafePointer<sf_array>?, _ tensors: Int64,
  _ applied: UnsafeMutablePointer<Int32>?, _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.arguments(tensors, lists: 2)) { () throws(Fault) in
    let applied = unsafe try required(applied, "applied")
    let masks = unsafe try Arrays(
      masks, tensors, SF_OPERAND_MASKS, types: [SF_TYPE_MASK], isWritten: true)
    try Region.checkDisjoint([masks])
    try networks[network].use { (network) throws(Fault) in
      let areApplied = try mappingErrors { () throws(SFError) in
        try network.writeMasks(to: masks.writableMasks)
      }
      unsafe applied.pointee = areApplied ? 1 : 0
    }
  }
}
