// Overlapping memory: an array that is written overlaps no other, in any order of the addresses.
// Arrays that are only read may overlap, except that weights may not.

import CSwiftForce
import Testing

@Suite struct OverlapTests {
  private func step(_ change: (SearchStepCall) -> Void) -> (result: Outcome, call: SearchStepCall) {
    let call = SearchStepCall()
    change(call)
    return (outcome { call.make($0) }, call)
  }

  /// Every pair of arrays of which one is written, sharing anything from one element to all.
  @Test func pairsOfWhichOneIsWritten() {
    typealias Pick = (SearchStepCall) -> ArrayList
    let written: [(String, Pick)] = [("masks", { $0.maskList }), ("masked", { $0.maskedList })]
    let read: [(String, Pick)] = [
      ("weights", { $0.weightList }), ("gradients", { $0.gradientList }),
    ]
    for (name, list) in written {
      for (otherName, other) in written + read where name != otherName {
        for (position, otherPosition) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
          for offset in [0, 4] as [UInt] {
            let (result, call) = step {
              // Rounded down to the alignment of a float: the arrays still overlap.
              list($0).setData(position, (other($0).data(otherPosition) + offset) & ~3)
            }
            #expect(result.status == SF_OVERLAP, "\(name)[\(position)] \(otherName) \(offset)")
            #expect(result.tensor >= 0 && result.index >= 0)
            #expect(call.isUnwritten && call.taken == 0)
          }
        }
      }
    }
  }

  @Test func twoTensorsOfOneWrittenList() {
    let (masks, first) = step { $0.maskList.setData(1, $0.masks.address + 1) }
    #expect(masks.status == SF_OVERLAP)
    #expect(masks.operand == SF_OPERAND_MASKS)
    #expect(masks.tensor == 1)
    #expect(masks.index == 0)
    #expect(first.isUnwritten)
    let (masked, second) = step { $0.maskedList.setData(1, $0.masked.address) }
    #expect(masked.status == SF_OVERLAP)
    #expect(second.isUnwritten)
  }

  /// A tensor that is passed twice would be counted twice.
  @Test func weightsMayNotOverlap() {
    let (result, call) = step { $0.weightList.setData(1, $0.weights.address + 4) }
    #expect(result.status == SF_OVERLAP)
    #expect(result.operand == SF_OPERAND_WEIGHTS)
    #expect(call.isUnwritten)
  }

  @Test func arraysThatAreOnlyReadMayOverlap() {
    let (gradients, first) = step { $0.gradientList.setData(1, $0.gradients.address) }
    #expect(gradients.isOK)
    #expect(first.masks.values != first.masks.original)
    let (both, second) = step { call in
      for i in 0..<2 { call.gradientList.setData(i, call.weightList.data(i)) }
    }
    #expect(both.isOK)
    #expect(second.masks.values == [0, 0, 1, 1, 1])
  }

  /// Adjacent arrays do not overlap. The arrays of each list in these tests are adjacent.
  @Test func adjacentArraysAreAccepted() {
    #expect(step { _ in }.result.isOK)
  }

  /// A long array that is read contains short ones, which is allowed, and overlaps one that is
  /// written.
  @Test func aLongArrayOverOthers() {
    let scores = Memory<Float>([Float](repeating: 1, count: 30))
    let masks = Memory<UInt8>([UInt8](repeating: 7, count: 22))
    let report = Cell(sf_report())
    let scoreList = ArrayList(scores.address, sizes: [1, 1, 20], type: SF_TYPE_FLOAT32)
    let maskList = ArrayList(masks.address, sizes: [20, 1, 1], type: SF_TYPE_MASK)
    for (i, size) in [20, 1, 1].enumerated() { scoreList.setCount(i, Int64(size)) }
    func result() -> Outcome {
      outcome {
        unsafe sf_select(
          scoreList.pointer, maskList.pointer, 3, 1, nil, nil, nil, nil, report.pointer, nil,
          $0.pointer)
      }
    }
    for offset in [79, 20] as [UInt] {
      maskList.setData(2, scores.address + offset)
      let refused = result()
      #expect(refused.status == SF_OVERLAP)
      #expect(refused.operand == SF_OPERAND_MASKS)
      #expect(refused.tensor == 2)
      #expect(refused.index == 0)
      #expect(masks.isUnwritten && scores.isUnwritten && report.isUnwritten)
    }
    maskList.setData(2, scores.address + 80)
    #expect(result().isOK)
  }

  @Test func gradientsMayNotOverlapSamplesWeightsOrParameters() {
    let call = NetworkCall()
    let own = call.parameters.map(\.address)
    for address in [
      call.inputs.address, call.inputs.address + 28, call.labels.address, call.rows.address + 20,
      call.weights.address + 4, own[0], own[1], own[3], call.gradients.address + 4,
    ] {
      let present = call.gradientList.data(1)
      call.gradientList.setData(1, address)
      let before = call.parameterBits
      let result = outcome { call.takeGradients($0) }
      #expect(result.status == SF_OVERLAP)
      #expect(call.isUnwritten && call.parameterBits == before)
      call.gradientList.setData(1, present)
    }
    #expect(outcome { call.takeGradients($0) }.isOK)
  }

  @Test func logitsMayNotOverlapSamplesOrParameters() {
    let call = NetworkCall()
    for address in [
      call.inputs.address, call.labels.address + 8, call.rows.address, call.parameters[2].address,
    ] {
      call.logitList.setData(0, address)
      let before = call.parameterBits
      #expect(outcome { call.forward($0) }.status == SF_OVERLAP)
      #expect(call.isUnwritten && call.parameterBits == before)
    }
  }
}
