// Memory that a test owns and passes to a call: elements between guards, so that a write outside
// them is detected, and lists of arrays that describe them. What must not live here: expected
// results.

import CSwiftForce

/// Elements with guards before and after them, and their original values.
@safe final class Memory<Element: BitwiseCopyable & Equatable> {
  private static var guardCount: Int { 16 }

  let original: [Element]
  private let guardValue: Element
  private let start: UnsafeMutablePointer<Element>

  init(_ values: [Element], guardedBy guardValue: Element) {
    original = values
    self.guardValue = guardValue
    let total = values.count + 2 * Memory.guardCount
    unsafe start = UnsafeMutablePointer.allocate(capacity: total)
    unsafe start.initialize(repeating: guardValue, count: total)
    for (i, value) in values.enumerated() { unsafe base[i] = value }
  }

  deinit { unsafe start.deallocate() }

  var base: UnsafeMutablePointer<Element> { unsafe start + Memory.guardCount }

  /// The address as an integer, which arithmetic and strict memory safety permit.
  var address: UInt { UInt(bitPattern: unsafe base) }

  var values: [Element] {
    get { original.indices.map { i in unsafe base[i] } }
    set { for (i, value) in newValue.enumerated() { unsafe base[i] = value } }
  }

  /// Whether nothing was written before or after the elements.
  var isIntact: Bool {
    (0..<Memory.guardCount).allSatisfy { i in
      unsafe start[i] == guardValue && base[original.count + i] == guardValue
    }
  }

  /// Whether nothing at all was written.
  var isUnwritten: Bool { isIntact && values == original }
}

extension Memory<Float> {
  convenience init(_ values: [Float]) { self.init(values, guardedBy: -77) }
}

extension Memory<Int64> {
  convenience init(_ values: [Int64]) { self.init(values, guardedBy: -77) }
}

extension Memory<UInt8> {
  convenience init(_ values: [UInt8]) { self.init(values, guardedBy: 99) }
}

/// A list of arrays whose fields a test may change.
@safe final class ArrayList {
  private let count: Int
  private let list: UnsafeMutablePointer<sf_array>
  /// A test may set it to null or to another address.
  var address: UInt

  /// Arrays of these sizes, one after the other in memory that begins at `start`.
  init(_ start: UInt, sizes: [Int], type: sf_type) {
    count = sizes.count
    unsafe list = UnsafeMutablePointer.allocate(capacity: max(1, sizes.count))
    address = UInt(bitPattern: unsafe list)
    var data = start
    for (i, size) in sizes.enumerated() {
      unsafe list[i] = sf_array(
        data: UnsafeMutableRawPointer(bitPattern: data), count: Int64(size),
        type: Int32(bitPattern: type.rawValue), reserved: 0)
      data += UInt(size) * (type == SF_TYPE_MASK ? 1 : 4)
    }
  }

  deinit { unsafe list.deallocate() }

  var pointer: UnsafePointer<sf_array>? { unsafe UnsafePointer(bitPattern: address) }

  func setCount(_ position: Int, _ count: Int64) { unsafe list[position].count = count }
  func setType(_ position: Int, _ type: Int32) { unsafe list[position].type = type }
  func setData(_ position: Int, _ address: UInt) {
    unsafe list[position].data = UnsafeMutableRawPointer(bitPattern: address)
  }
  func data(_ position: Int) -> UInt { UInt(bitPattern: unsafe list[position].data) }
}

/// One value that a call writes: an output, or a struct that it reads.
@safe final class Cell<Value: BitwiseCopyable> {
  private let start: UnsafeMutablePointer<Value>
  private let original: [UInt8]
  /// A test may set it to null or to another address.
  var address: UInt

  init(_ value: Value) {
    unsafe start = UnsafeMutablePointer.allocate(capacity: 1)
    unsafe start.initialize(to: value)
    address = UInt(bitPattern: unsafe start)
    original = unsafe Cell.bytes(of: start)
  }

  deinit { unsafe start.deallocate() }

  var pointer: UnsafeMutablePointer<Value>? { unsafe UnsafeMutablePointer(bitPattern: address) }

  var value: Value {
    get { unsafe start.pointee }
    set { unsafe start.pointee = newValue }
  }

  var isUnwritten: Bool { unsafe Cell.bytes(of: start) == original }

  private static func bytes(of pointer: UnsafeMutablePointer<Value>) -> [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: pointer, count: MemoryLayout<Value>.size))
  }
}
