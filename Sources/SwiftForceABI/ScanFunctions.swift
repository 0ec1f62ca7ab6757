// Exported for benchmarks: a scan that reads all bytes of a list of arrays once. What must not live
// here: anything that the package itself calls.

import CSwiftForce
import SwiftForceCore

@_cdecl("sf_scan")
public func scan(
  _ arrays: UnsafePointer<sf_array>?, _ tensors: Int64, _ parity: UnsafeMutablePointer<UInt64>?,
  _ error: UnsafeMutablePointer<sf_error>?
) -> Int32 {
  unsafe status(error, memory: MemoryBound.arguments(tensors, lists: 2)) { () throws(Fault) in
    let arrays = unsafe try Arrays(
      arrays, tensors, SF_OPERAND_NONE, types: Arrays.floats + [SF_TYPE_MASK])
    let parity = unsafe try required(parity, "parity")
    let memory = unsafe arrays.regions.map { region in
      unsafe UnsafeRawBufferPointer(
        start: UnsafeRawPointer(bitPattern: region.start), count: Int(region.end - region.start))
    }
    unsafe parity.pointee = try mappingErrors { () throws(SFError) in
      unsafe try MemoryScan.parity(of: memory)
    }
  }
}
