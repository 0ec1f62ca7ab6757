// The floating-point registers of a call: those of IEEE 754 inside, the caller's outside.

import CPlatform
import CSwiftForce
import Testing

/// Registers that round up, and on x86-64 also flush subnormal numbers and trap divisions by zero.
private var changed: platform_floating_point {
  var state = platform_use_ieee()
  platform_use(state)
  #if arch(x86_64)
    state.status = (state.status | 0xC040) & ~0x2200
  #else
    state.control |= 1 << 22 | 1 << 24
  #endif
  return state
}

private func registers() -> [UInt64] {
  let state = platform_use_ieee()
  platform_use(state)
  return [state.control, state.status]
}

/// Computes with numbers that the compiler cannot know: whether products of subnormal numbers are
/// right, and sums are rounded to nearest.
private let computation: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
  guard let numbers = unsafe context?.assumingMemoryBound(to: Float.self) else { return }
  unsafe numbers[2] = numbers[0] * numbers[1]
  unsafe numbers[3] = 1 + numbers[1]
}

@Suite struct FloatingPointTests {
  @Test func aCallComputesAsIEEE754SaysAndPutsTheRegistersBack() {
    let numbers = Memory<Float>([0x1p-140, 0x1p-5, 0, 0])
    let tiny = Memory<Float>([1, 0x1p-30, 0, 0])
    let before = platform_use_ieee()
    defer { platform_use(before) }
    platform_use(changed)
    let expected = registers()
    let first = unsafe sf_ieee(
      computation, UnsafeMutableRawPointer(bitPattern: numbers.address), nil)
    let second = unsafe sf_ieee(computation, UnsafeMutableRawPointer(bitPattern: tiny.address), nil)
    let after = registers()
    _ = platform_use_ieee()
    #expect(first == 0 && second == 0)
    #expect(after == expected)
    #expect(numbers.values[2] == 0x1p-145)
    #expect(tiny.values[3] == 1)
  }

  @Test func aRefusedCallPutsTheRegistersBack() {
    let before = platform_use_ieee()
    defer { platform_use(before) }
    platform_use(changed)
    let expected = registers()
    let status = sf_keep_count(0, 0.5, nil, nil)
    let after = registers()
    _ = platform_use_ieee()
    #expect(status != 0)
    #expect(after == expected)
  }
}
