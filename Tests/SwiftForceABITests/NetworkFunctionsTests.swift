// Creating networks, their parameters and masks: what the calls do, and every argument that they
// refuse.

import CSwiftForce
import Testing

@Suite struct NetworkCreateFunctionTests {
  private func result(
    _ layers: [sf_layer], count: Int64? = nil, inputShape: [Int64] = []
  ) -> (result: Outcome, network: Cell<Int64>) {
    let network = Cell<Int64>(-1)
    let list = NetworkCall.layers(layers)
    let result = outcome {
      NetworkCall.create(list, count: count, inputShape: inputShape, network, $0)
    }
    if result.isOK { _ = sf_network_release(network.value, nil) }
    #expect(list.isUnwritten)
    return (result, network)
  }

  @Test func creates() {
    let (result, network) = result([
      sf_layer(linear: 5, 4), sf_layer(relu: ()), sf_layer(linear: 4, 3),
    ])
    #expect(result.isOK)
    #expect(network.value > 0)
  }

  @Test func createsEveryKind() {
    let (result, network) = result(imageLayers(), inputShape: [2, 6, 5])
    #expect(result.isOK)
    #expect(network.value > 0)
    #expect(Set(imageLayers().map(\.kind)).count == names(SF_AXIS_LAYER).count)
  }

  @Test func layersThatDoNotFitAreNamed() {
    let huge = Int64(Int32.max)
    let relu = sf_layer(relu: ())
    var wide = relu
    wide.outputs = 4
    for (layers, fault) in [
      ([relu], 0), ([sf_layer(linear: 0, 3)], 0), ([sf_layer(linear: 3, 0)], 0),
      ([sf_layer(linear: -1, 3)], 0), ([sf_layer(linear: .min, .max)], 0),
      ([sf_layer(linear: 3, huge + 1)], 0), ([sf_layer(linear: 3, 4), sf_layer(linear: 5, 2)], 1),
      ([sf_layer(linear: 3, 4), wide], 1), ([sf_layer(linear: huge, huge)], 0),
    ] as [([sf_layer], Int64)] {
      let (result, network) = result(layers)
      #expect(result.status == SF_BAD_ARCHITECTURE, "\(layers)")
      #expect(result.index == fault, "\(layers)")
      #expect(network.isUnwritten)
    }
  }

  /// Every invalid field is refused with the position of its layer.
  @Test func invalidFieldsAreRefused() {
    let invalidCalls: [(String, Int, (inout sf_layer) -> Void)] = [
      ("kernel 0", 0, { $0.kernel = 0 }), ("kernel 7", 0, { $0.kernel = 9 }),
      ("stride -1", 0, { $0.stride = -1 }), ("padding 3", 0, { $0.padding = 3 }),
      ("groups 0", 0, { $0.groups = 0 }), ("inputs 3", 0, { $0.inputs = 3 }),
      ("outputs least", 0, { $0.outputs = .min }), ("kernel greatest", 0, { $0.kernel = .max }),
      ("momentum 2", 1, { $0.momentum = 2 }), ("epsilon 0", 1, { $0.epsilon = 0 }),
      ("no addend", 3, { $0.addend = SF_NO_LAYER }), ("itself", 3, { $0.addend = 3 }),
      ("source after", 2, { $0.source = 5 }), ("no source", 2, { $0.source = -3 }),
      ("addend of relu", 2, { $0.addend = 1 }), ("window 7", 4, { $0.kernel = 7 }),
      ("bias of relu", 2, { $0.has_bias = 1 }), ("epsilon of relu", 2, { $0.epsilon = 1 }),
    ]
    for (what, position, mutate) in invalidCalls {
      var layers = imageLayers()
      mutate(&layers[position])
      let (result, network) = result(layers, inputShape: [2, 6, 5])
      #expect(result.status == SF_BAD_ARCHITECTURE, "\(what)")
      #expect(result.index == position, "\(what)")
      #expect(network.isUnwritten)
    }
  }

  @Test func invalidShapesAreRefused() {
    let layers = [sf_layer(linear: 6, 2)]
    #expect(result(layers, inputShape: [6]).result.isOK)
    #expect(result(layers, inputShape: [1, 2, 3]).result.isOK)
    for shape in [[6, 1], [1, 1, 2, 3]] as [[Int64]] {
      let (result, network) = result(layers, inputShape: shape)
      #expect(result.status == SF_BAD_COUNT)
      #expect(network.isUnwritten)
    }
    for shape in [[0], [-6], [5], [.min], [.max], [1, 0, 6], [.max, .max, 2]] as [[Int64]] {
      let (result, network) = result(layers, inputShape: shape)
      #expect(result.status == SF_BAD_ARCHITECTURE, "\(shape)")
      #expect(result.index == 0)
      #expect(network.isUnwritten)
    }
  }

  @Test func badArguments() {
    for count in [0, -1, .min, .max] as [Int64] {
      let (result, network) = result([sf_layer(linear: 2, 2)], count: count)
      #expect(result.status == SF_BAD_COUNT)
      #expect(network.isUnwritten)
    }
    // sf_layer(kind:) gives the number -1 to an unknown name.
    let (unknown, _) = result([sf_layer(linear: 2, 2), sf_layer(kind: "no such layer")])
    #expect(unknown.status == SF_UNKNOWN_NAME)
    #expect(unknown.index == 1)
    let network = Cell<Int64>(-1)
    let layers = NetworkCall.layers([sf_layer(linear: 2, 2)])
    let shape = Memory<Int64>([2])
    func create(_ address: UInt, shape place: UInt = 0, rank: Int64 = 0) -> sf_status {
      withExtendedLifetime((layers, network, shape)) {
        outcome {
          unsafe sf_network_create(
            UnsafePointer(bitPattern: address), 1, UnsafePointer(bitPattern: place), rank, 7,
            network.pointer, $0.pointer)
        }.status
      }
    }
    #expect(create(0) == SF_NULL_POINTER)
    #expect(create(layers.address + 4) == SF_MISALIGNED)
    #expect(create(layers.address, shape: shape.address + 4, rank: 1) == SF_MISALIGNED)
    for rank in [0, -1, 2, .min, .max] as [Int64] {
      #expect(create(layers.address, shape: shape.address, rank: rank) == SF_BAD_COUNT)
    }
    #expect(create(layers.address, rank: 1) == SF_NULL_POINTER)
    let address = network.address
    network.address += 4
    #expect(create(layers.address) == SF_MISALIGNED)
    network.address = 0
    #expect(create(layers.address) == SF_NULL_POINTER)
    #expect(network.isUnwritten)
    network.address = address
    #expect(create(layers.address, shape: shape.address, rank: 1) == SF_OK)
    #expect(sf_network_release(network.value, nil) == 0)
  }
}

@Suite struct NetworkSizesFunctionTests {
  @Test func sizesAreThoseOfASample() {
    let (features, classes) = (Cell<Int64>(-1), Cell<Int64>(-1))
    for (call, expected) in [
      (NetworkCall(), [2, 2] as [Int64]),
      (NetworkCall(NetworkCall.handle(imageLayers(), inputShape: [2, 6, 5])), [60, 2]),
    ] {
      #expect(call.network > 0)
      #expect(
        outcome {
          unsafe sf_network_sizes(
            call.network, features.pointer, classes.pointer, $0.pointer)
        }.isOK)
      #expect([features.value, classes.value] == expected)
    }
  }

  @Test func badArguments() {
    let (features, classes) = (Cell<Int64>(-1), Cell<Int64>(-1))
    let call = NetworkCall()
    func result() -> sf_status {
      withExtendedLifetime(call) {
        outcome {
          unsafe sf_network_sizes(call.network, features.pointer, classes.pointer, $0.pointer)
        }.status
      }
    }
    for cell in [features, classes] {
      let address = cell.address
      cell.address = 0
      #expect(result() == SF_NULL_POINTER)
      cell.address = address + 4
      #expect(result() == SF_MISALIGNED)
      cell.address = address
    }
    #expect(features.isUnwritten && classes.isUnwritten)
    #expect(result() == SF_OK)
  }
}

@Suite struct NetworkParametersFunctionTests {
  @Test func parametersAreTheLayers() {
    let call = NetworkCall()
    #expect(call.parameters.map(\.count) == [6, 3, 6, 2])
    #expect(call.parameters.allSatisfy { $0.address % 64 == 0 })
    #expect(Set(call.parameters.map(\.address)).count == 4)
    #expect(call.parameterBits.contains { $0 != 0 })
  }

  @Test func theRecordOfEachParameter() {
    let call = NetworkCall(NetworkCall.handle(imageLayers(), inputShape: [2, 6, 5]))
    let records = unsafe [sf_parameter](unsafeUninitializedCapacity: 8) { buffer, count in
      let number = Cell<Int64>(-1)
      #expect(
        outcome {
          unsafe sf_network_parameters(
            call.network, buffer.baseAddress, 8, number.pointer, $0.pointer)
        }.isOK)
      count = Int(number.value)
    }
    let names = names(SF_AXIS_ROLE)
    let shapes = unsafe records.map { record in
      let shape = unsafe record.shape
      let extents = [shape.0, shape.1, shape.2, shape.3]
      return unsafe "\(record.layer) \(names[Int(record.role)]) \(record.rank) \(extents)"
    }
    #expect(
      shapes == [
        "0 weight 4 [3, 2, 3, 3]", "0 bias 1 [3, 0, 0, 0]", "1 scale 1 [3, 0, 0, 0]",
        "1 bias 1 [3, 0, 0, 0]", "1 mean 1 [3, 0, 0, 0]", "1 variance 1 [3, 0, 0, 0]",
        "8 weight 2 [2, 3, 0, 0]", "8 bias 1 [2, 0, 0, 0]",
      ])
    let starts = unsafe records.map { unsafe $0.data?.pointee ?? -1 }
    #expect(starts[2...5] == [1, 0, 0, 1])
    withExtendedLifetime(call) {}
  }

  @Test func badArguments() {
    let call = NetworkCall()
    let count = Cell<Int64>(-1)
    let storage = unsafe Memory<UInt64>(
      [UInt64](repeating: 5, count: 4 * MemoryLayout<sf_parameter>.stride / 8), guardedBy: 6)
    func result(_ offset: UInt, _ capacity: Int64) -> sf_status {
      withExtendedLifetime((call, count, storage)) {
        outcome {
          unsafe sf_network_parameters(
            call.network, UnsafeMutablePointer(bitPattern: storage.address + offset), capacity,
            count.pointer, $0.pointer)
        }.status
      }
    }
    for capacity in [3, 0, -1, .min] as [Int64] { #expect(result(0, capacity) == SF_BAD_COUNT) }
    #expect(result(4, 4) == SF_MISALIGNED)
    let address = count.address
    count.address = 0
    #expect(result(0, 4) == SF_NULL_POINTER)
    count.address = address + 4
    #expect(result(0, 4) == SF_MISALIGNED)
    #expect(storage.isUnwritten && count.isUnwritten)
    count.address = address
    #expect(result(0, 4) == SF_OK)
    #expect(count.value == 4)
    #expect(storage.isIntact && !storage.isUnwritten)
  }

  @Test func parametersMayBeNullToGetTheirNumber() {
    let call = NetworkCall()
    let count = Cell<Int64>(-1)
    #expect(
      outcome {
        unsafe sf_network_parameters(call.network, nil, -3, count.pointer, $0.pointer)
      }.isOK)
    #expect(count.value == 4)
    withExtendedLifetime(call) {}
  }
}

@Suite struct NetworkPlanFunctionTests {
  @Test func saysWhatIsComputedOverKeptWeights() {
    let call = NetworkCall()
    let count = Cell<Int64>(-1)
    let storage = Memory<UInt64>([UInt64](repeating: 5, count: 6), guardedBy: 6)
    func result(_ capacity: Int64, isNull: Bool = false) -> sf_status {
      withExtendedLifetime((call, count, storage)) {
        outcome {
          unsafe sf_network_plan(
            call.network, isNull ? nil : UnsafeMutablePointer(bitPattern: storage.address),
            capacity, count.pointer, $0.pointer)
        }.status
      }
    }
    for capacity in [1, 0, -1, .min] as [Int64] { #expect(result(capacity) == SF_BAD_COUNT) }
    #expect(storage.isUnwritten && count.isUnwritten)
    #expect(result(-3, isNull: true) == SF_OK)
    #expect(count.value == 2)
    #expect(storage.isUnwritten)
    #expect(outcome { call.apply($0) }.isOK)
    #expect(result(2) == SF_OK)
    // Half of six weights, twice; dense, and sparse at most at 0.35; linear layers.
    #expect(storage.values == [3, 350 << 32, 1, 3, 350 << 32, 1])
    #expect(storage.isIntact)
  }
}

@Suite struct NetworkMaskFunctionTests {
  @Test func removedWeightsBecomeZero() {
    let call = NetworkCall()
    let before = call.parameterBits
    #expect(outcome { call.apply($0) }.isOK)
    let now = call.parameterBits
    #expect((0..<6).allSatisfy { now[$0] == ($0 % 2 == 0 ? before[$0] : 0) })
    #expect(now[6..<9] == before[6..<9])
    // Removing the masks leaves the zeros.
    call.maskList.address = 0
    #expect(outcome { call.apply($0) }.isOK)
    #expect(call.parameterBits == now)
    #expect(call.isUnwritten)
  }

  @Test func badArgumentsAreRefusedAndNothingIsWritten() {
    var invalidCalls: [InvalidCall<NetworkCall>] = [
      InvalidCall("no tensors", SF_BAD_COUNT) { $0.tensors = 0 },
      InvalidCall("-1 tensors", SF_BAD_COUNT) { $0.tensors = -1 },
      InvalidCall("one tensor", SF_SIZE_MISMATCH, SF_OPERAND_MASKS) { $0.tensors = 1 },
    ]
    invalidCalls += invalidLists("masks", SF_OPERAND_MASKS, elementSize: 1, required: false) {
      $0.maskList
    }
    expectRefusals(invalidCalls) { $0.apply }
  }
}
