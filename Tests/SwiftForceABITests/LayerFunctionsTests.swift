// sf_layer_forward and sf_layer_backward: what they compute, and every argument that they refuse.

import CSwiftForce
import Testing

/// A batch normalisation of one channel of 1 x 1 for two samples, x = (1, 3), with scale 2, shift 1.
@safe private final class LayerCall {
  let layer = Cell<sf_layer>(sf_layer())
  let source = Memory<Float>([1, 3])
  let parameters = Memory<Float>([2, 1, 0, 1])
  let output = Memory<Float>([7, 7])
  let saved = Memory<Float>([7, 7, 7])
  let outputGradient = Memory<Float>([1, 0])
  let sourceGradient = Memory<Float>([7, 7])
  let parameterGradients = Memory<Float>([7, 7])
  let operation: Cell<sf_layer_operation>
  /// Source, parameters, output, saved, and gradients in the order of `sf_layer_arrays`.
  let lists: [ArrayList]
  var parameterCount: Int64 = 4
  var gradientCount: Int64 = 2
  var isBackward = false

  init() {
    var description = sf_layer()
    description.kind = number("batch_norm2d", SF_AXIS_LAYER)
    (description.source, description.addend) = (-1, -2)
    (description.inputs, description.momentum, description.epsilon) = (1, 0.5, 1e-9)
    layer.value = description
    let operation = unsafe Cell(sf_layer_operation())
    unsafe self.operation = operation
    unsafe operation.value.layer = unsafe UnsafePointer(layer.pointer)
    unsafe operation.value.shape = (1, 1, 1)
    unsafe operation.value.samples = 2
    func list(_ memory: Memory<Float>, _ sizes: [Int]) -> ArrayList {
      ArrayList(memory.address, sizes: sizes, type: SF_TYPE_FLOAT32)
    }
    lists = [
      list(source, [2]), list(parameters, [1, 1, 1, 1]), list(output, [2]), list(saved, [3]),
      list(outputGradient, [2]), list(sourceGradient, [2]), list(parameterGradients, [1, 1]),
    ]
  }

  func make(_ error: Slot) -> Int32 {
    withExtendedLifetime(self) {
      var arrays = unsafe sf_layer_arrays()
      unsafe arrays.source = lists[0].pointer
      unsafe arrays.parameters = lists[1].pointer
      unsafe arrays.parameter_count = parameterCount
      unsafe arrays.output = lists[2].pointer
      unsafe arrays.saved = lists[3].pointer
      guard isBackward else {
        return unsafe sf_layer_forward(operation.pointer, &arrays, error.pointer)
      }
      unsafe arrays.output_gradient = lists[4].pointer
      unsafe arrays.source_gradient = lists[5].pointer
      unsafe arrays.parameter_gradients = lists[6].pointer
      unsafe arrays.gradient_count = gradientCount
      return unsafe sf_layer_backward(operation.pointer, &arrays, error.pointer)
    }
  }

  var isUnwritten: Bool {
    [source, parameters, output, saved, sourceGradient, parameterGradients].allSatisfy(
      \.isUnwritten)
  }
}

@Suite struct LayerFunctionTests {
  @Test func normalises() {
    let call = LayerCall()
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.output.values == [-1, 3])
    #expect(call.saved.values == [2, 1, 2])
    // Moved by one half towards the mean 2 and the unbiased variance 2.
    #expect(call.parameters.values == [2, 1, 1, 1.5])
    #expect(call.output.isIntact && call.saved.isIntact && call.parameters.isIntact)
    call.isBackward = true
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.parameterGradients.values == [-1, 1])
    let largest = call.sourceGradient.values.map(abs).max() ?? 1
    #expect(largest < 1e-6)
    #expect(call.outputGradient.isUnwritten)
  }

  @Test func gradientsThatAreNotWantedAreNotWritten() {
    let call = LayerCall()
    call.isBackward = true
    call.lists[5].address = 0
    (call.lists[6].address, call.gradientCount) = (0, 0)
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.isUnwritten)
  }

  @Test func maximaOfWindows() {
    let call = LayerCall()
    call.layer.value = sf_layer()
    call.layer.value.kind = number("max_pool2d", SF_AXIS_LAYER)
    (call.layer.value.source, call.layer.value.addend) = (-1, -2)
    (call.layer.value.kernel, call.layer.value.stride) = (2, 2)
    let image = Memory<Float>([1, 5, 2, 4])
    let list = ArrayList(image.address, sizes: [4], type: SF_TYPE_FLOAT32)
    call.lists[0].setData(0, list.data(0))
    call.lists[0].setCount(0, 4)
    call.lists[2].setCount(0, 1)
    call.lists[3].setCount(0, 0)
    call.parameterCount = 0
    unsafe call.operation.value.shape = (1, 2, 2)
    unsafe call.operation.value.samples = 1
    #expect(outcome { call.make($0) }.isOK)
    #expect(call.output.values == [5, 7])
    #expect(call.saved.isUnwritten && call.parameters.isUnwritten && image.isUnwritten)
  }

  @Test(arguments: [false, true])
  func badArgumentsAreRefusedAndNothingIsWritten(isBackward: Bool) {
    var changes: [(sf_status, (LayerCall) -> Void)] = [
      (SF_NULL_POINTER, { unsafe $0.operation.address = 0 }),
      (SF_NULL_POINTER, { unsafe $0.operation.value.layer = nil }),
      (SF_BAD_COUNT, { unsafe $0.operation.value.samples = 0 }),
      (SF_BAD_COUNT, { unsafe $0.operation.value.samples = .max }),
      (SF_SIZE_MISMATCH, { unsafe $0.operation.value.samples = 3 }),
      (SF_BAD_ARCHITECTURE, { unsafe $0.operation.value.shape.1 = 0 }),
      (SF_BAD_ARCHITECTURE, { unsafe $0.operation.value.shape = (1, 1 << 30, 1 << 30) }),
      (SF_BAD_ARCHITECTURE, { unsafe $0.operation.value.shape.0 = 2 }),
      (SF_UNKNOWN_NAME, { $0.layer.value.kind = 99 }),
      (SF_BAD_ARCHITECTURE, { $0.layer.value.kind = number("add", SF_AXIS_LAYER) }),
      (SF_BAD_ARCHITECTURE, { $0.layer.value.epsilon = 0 }),
      (SF_SIZE_MISMATCH, { $0.parameterCount = 3 }), (SF_BAD_COUNT, { $0.parameterCount = -1 }),
      (SF_SIZE_MISMATCH, { $0.parameterCount = 0 }),
    ]
    for place in isBackward ? Array(0..<7) : Array(0..<4) {
      changes += [
        (SF_SIZE_MISMATCH, { $0.lists[place].setCount(0, 0) }),
        (SF_UNSUPPORTED_TYPE, { $0.lists[place].setType(0, 1) }),
        (SF_NULL_POINTER, { $0.lists[place].setData(0, 0) }),
      ]
      if place != 5 { changes.append((SF_NULL_POINTER, { $0.lists[place].address = 0 })) }
    }
    let (written, read) = isBackward ? (5, 4) : (2, 0)
    changes.append((SF_OVERLAP, { $0.lists[written].setData(0, $0.lists[read].data(0)) }))
    for (number, (status, change)) in changes.enumerated() {
      let call = LayerCall()
      call.isBackward = isBackward
      change(call)
      #expect(outcome { call.make($0) }.status == status, "change \(number)")
      #expect(call.isUnwritten, "change \(number)")
    }
  }
}
