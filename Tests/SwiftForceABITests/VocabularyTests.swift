// The version, the names of the axes, the table of methods, counts, schedules and permutations:
// their results, and every argument that they refuse.

import CSwiftForce
import Testing

@Suite struct VersionTests {
  @Test func version() {
    let version = Cell<Int32>(-1)
    #expect(outcome { unsafe sf_abi_version(version.pointer, $0.pointer) }.isOK)
    #expect(version.value == SF_ABI_VERSION)
    #expect(SF_ABI_VERSION == 13)
  }

  @Test func badArguments() {
    let version = Cell<Int32>(-1)
    #expect(outcome { unsafe sf_abi_version(nil, $0.pointer) }.status == SF_NULL_POINTER)
    version.address += 2
    #expect(outcome { unsafe sf_abi_version(version.pointer, $0.pointer) }.status == SF_MISALIGNED)
    #expect(version.isUnwritten)
  }
}

@Suite struct NamesFunctionTests {
  @Test func everyAxisHasItsNames() {
    #expect(
      names(SF_AXIS_SALIENCY) == [
        "connection_sensitivity", "squared_gradient", "magnitude", "random", "given",
      ])
    #expect(names(SF_AXIS_SCHEDULE) == ["exponential", "linear", "cubic", "cosine"])
    #expect(names(SF_AXIS_RULE) == ["nested", "free", "free_then_nested"])
    #expect(
      names(SF_AXIS_METHOD) == [
        "snip", "iterative_snip", "force", "force_nested", "grasp_it", "magnitude", "random",
      ]
    )
    #expect(
      names(SF_AXIS_LAYER) == [
        "linear", "relu", "conv2d", "batch_norm2d", "max_pool2d", "avg_pool2d", "global_avg_pool2d",
        "flatten", "add",
      ])
    #expect(names(SF_AXIS_ROLE) == ["weight", "bias", "scale", "mean", "variance"])
    #expect(names(SF_AXIS_LOSS) == ["cross_entropy", "target_logit"])
    #expect(names(SF_AXIS_ALLOCATION) == ["global", "uniform", "erk"])
    #expect(names(SF_AXIS_PATTERN) == ["weights", "blocks", "outputs", "inputs", "kernels"])
  }

  private func result(_ text: Memory<CChar>, axis: Int32, capacity: Int64) -> Outcome {
    outcome { unsafe sf_names(axis, text.base, capacity, $0.pointer) }
  }

  /// The three names, their line breaks and a null byte are 30 bytes: a capacity of 29 is too small.
  @Test func aTextThatJustFits() {
    let text = Memory<CChar>([CChar](repeating: 1, count: 30), guardedBy: 9)
    for capacity in [0, 1, 28, 29] as [Int64] {
      #expect(result(text, axis: code(SF_AXIS_RULE), capacity: capacity).status == SF_SMALL_BUFFER)
      #expect(text.isUnwritten)
    }
    #expect(result(text, axis: code(SF_AXIS_RULE), capacity: 30).isOK)
    #expect(text.isIntact)
    #expect(
      text.values.map { UInt8(bitPattern: $0) } == Array("nested\nfree\nfree_then_nested\n\0".utf8))
  }

  @Test func badArguments() {
    let text = Memory<CChar>([CChar](repeating: 1, count: 200), guardedBy: 9)
    for axis in [-1, 9, .min, .max] as [Int32] {
      #expect(result(text, axis: axis, capacity: 200).status == SF_UNKNOWN_NAME)
    }
    for capacity in [-1, .min, .max] as [Int64] {
      #expect(result(text, axis: 0, capacity: capacity).status == SF_BAD_COUNT)
    }
    #expect(outcome { unsafe sf_names(0, nil, 200, $0.pointer) }.status == SF_NULL_POINTER)
    #expect(text.isUnwritten)
  }
}

@Suite struct MethodFunctionTests {
  @Test func everyRow() {
    let saliencies = names(SF_AXIS_SALIENCY)
    let rules = names(SF_AXIS_RULE)
    let rows = names(SF_AXIS_METHOD).indices.map { method in
      let info = Cell(sf_method_info())
      #expect(outcome { unsafe sf_method(Int32(method), info.pointer, $0.pointer) }.isOK)
      let row = info.value
      return "\(saliencies[Int(row.saliency)]) \(rules[Int(row.rule)]) \(row.one_shot)"
        + " \(row.needs_gradients)"
    }
    #expect(
      rows == [
        "connection_sensitivity free 1 1", "connection_sensitivity nested 0 1",
        "connection_sensitivity free 0 1", "connection_sensitivity free_then_nested 0 1",
        "squared_gradient nested 0 1", "magnitude free 1 0", "random free 1 0",
      ])
  }

  @Test func badArguments() {
    let info = Cell(sf_method_info())
    for method in [-1, 7, .min, .max] as [Int32] {
      let result = outcome { unsafe sf_method(method, info.pointer, $0.pointer) }
      #expect(result.status == SF_UNKNOWN_NAME)
    }
    #expect(outcome { unsafe sf_method(0, nil, $0.pointer) }.status == SF_NULL_POINTER)
    info.address += 1
    #expect(outcome { unsafe sf_method(0, info.pointer, $0.pointer) }.status == SF_MISALIGNED)
    #expect(info.isUnwritten)
  }
}

@Suite struct KeepCountFunctionTests {
  private func result(_ keep: Cell<Int64>, _ n: Int64, _ sparsity: Double) -> Outcome {
    outcome { unsafe sf_keep_count(n, sparsity, keep.pointer, $0.pointer) }
  }

  @Test func counts() {
    let keep = Cell<Int64>(-1)
    for (n, sparsity, expected) in [
      (100, 0.9, 10), (5, 0.5, 2), (7, 0.5, 4), (1, 0.99, 1), (1 << 62, 0, 1 << 62),
    ] as [(Int64, Double, Int64)] {
      #expect(result(keep, n, sparsity).isOK)
      #expect(keep.value == expected)
    }
  }

  @Test func badArguments() {
    let keep = Cell<Int64>(-1)
    for n in [0, -1, .min, .max, (1 << 62) + 1] as [Int64] {
      let refused = result(keep, n, 0.5)
      #expect(refused.status == SF_BAD_COUNT)
      #expect(refused.count == n)
    }
    for sparsity in [1, -0.1, 2, .infinity, -.infinity, .nan] {
      let refused = result(keep, 10, sparsity)
      #expect(refused.status == SF_BAD_SPARSITY)
      #expect(sparsity.isNaN ? refused.value.isNaN : refused.value == sparsity)
    }
    keep.address += 4
    #expect(result(keep, 10, 0.5).status == SF_MISALIGNED)
    keep.address = 0
    #expect(result(keep, 10, 0.5).status == SF_NULL_POINTER)
    #expect(keep.isUnwritten)
  }
}

@Suite struct ScheduleFunctionTests {
  private func result(
    _ keeps: Memory<Int64>, schedule: Int32 = 1, n: Int64 = 100, keep: Int64 = 20,
    steps: Int64 = 4, offset: UInt = 0
  ) -> Outcome {
    withExtendedLifetime(keeps) {
      outcome {
        unsafe sf_schedule(
          schedule, n, keep, steps, UnsafeMutablePointer(bitPattern: keeps.address + offset),
          $0.pointer)
      }
    }
  }

  @Test func keeps() {
    let keeps = Memory<Int64>([-1, -1, -1, -1])
    #expect(result(keeps).isOK)
    #expect(keeps.values == [80, 60, 40, 20])
    #expect(keeps.isIntact)
    #expect(result(keeps, schedule: 0, n: 10_000, keep: 100).isOK)
    #expect(keeps.values == [3162, 1000, 316, 100])
  }

  @Test func badArguments() {
    let keeps = Memory<Int64>([-1, -1, -1, -1])
    for schedule in [-1, 4, .max, .min] as [Int32] {
      #expect(result(keeps, schedule: schedule).status == SF_UNKNOWN_NAME)
    }
    for steps in [0, -1, .min, .max, (1 << 24) + 1] as [Int64] {
      let refused = result(keeps, steps: steps)
      #expect(refused.status == SF_BAD_STEPS)
      #expect(refused.count == steps)
    }
    for n in [0, -1, .min, .max] as [Int64] {
      #expect(result(keeps, n: n, keep: 1).status == SF_BAD_COUNT)
    }
    for keep in [0, -1, 101, .min, .max] as [Int64] {
      let refused = result(keeps, keep: keep)
      #expect(refused.status == SF_BAD_KEEP)
      #expect(refused.count == keep)
    }
    #expect(result(keeps, offset: 4).status == SF_MISALIGNED)
    #expect(
      outcome { unsafe sf_schedule(1, 100, 20, 4, nil, $0.pointer) }.status == SF_NULL_POINTER)
    #expect(keeps.isUnwritten)
  }
}

@Suite struct PermutationFunctionTests {
  private func result(
    _ order: Memory<Int64>, n: Int64, stream: UInt64 = 0, offset: UInt = 0
  ) -> Outcome {
    withExtendedLifetime(order) {
      outcome {
        unsafe sf_permutation(
          n, 3, stream, UnsafeMutablePointer(bitPattern: order.address + offset), $0.pointer)
      }
    }
  }

  @Test func permutes() {
    for n in [1, 2, 100] {
      let order = Memory<Int64>([Int64](repeating: -1, count: n))
      #expect(result(order, n: Int64(n)).isOK)
      #expect(order.values.sorted() == (0..<n).map(Int64.init))
      #expect(order.isIntact)
    }
  }

  @Test func streamsOfASeedDiffer() {
    let orders = (0..<4 as Range<UInt64>).map { stream in
      let order = Memory<Int64>([Int64](repeating: -1, count: 50))
      #expect(result(order, n: 50, stream: stream).isOK)
      return order.values
    }
    #expect(Set(orders).count == 4)
  }

  @Test func badArguments() {
    let order = Memory<Int64>([-1, -1, -1])
    for n in [0, -1, .min, .max] as [Int64] {
      #expect(result(order, n: n).status == SF_BAD_COUNT)
    }
    #expect(result(order, n: 2, offset: 3).status == SF_MISALIGNED)
    #expect(outcome { unsafe sf_permutation(3, 3, 0, nil, $0.pointer) }.status == SF_NULL_POINTER)
    #expect(order.isUnwritten)
  }
}
