// The layout of the structs of the C interface, byte by byte. A change of a field needs a change
// here and a higher SF_ABI_VERSION.

import CSwiftForce
import Testing

@Suite struct LayoutTests {
  @Test func array() {
    #expect(unsafe MemoryLayout<sf_array>.size == 24)
    #expect(
      unsafe [
        MemoryLayout<sf_array>.offset(of: \.data), MemoryLayout<sf_array>.offset(of: \.count),
        MemoryLayout<sf_array>.offset(of: \.type), MemoryLayout<sf_array>.offset(of: \.reserved),
      ] == [0, 8, 16, 20])
  }

  @Test func error() {
    typealias Layout = MemoryLayout<sf_error>
    #expect(Layout.size == 256)
    #expect(
      [
        Layout.offset(of: \.status), Layout.offset(of: \.operand), Layout.offset(of: \.tensor),
        Layout.offset(of: \.index), Layout.offset(of: \.count), Layout.offset(of: \.value),
        Layout.offset(of: \.message),
      ] == [0, 4, 8, 16, 24, 32, 40])
  }

  @Test func methodInfo() {
    typealias Layout = MemoryLayout<sf_method_info>
    #expect(Layout.size == 16)
    #expect(
      [
        Layout.offset(of: \.saliency), Layout.offset(of: \.rule), Layout.offset(of: \.one_shot),
        Layout.offset(of: \.needs_gradients),
      ] == [0, 4, 8, 12])
  }

  @Test func bounds() {
    typealias Layout = MemoryLayout<sf_bounds>
    #expect(Layout.size == 64)
    #expect(
      [
        Layout.offset(of: \.least), Layout.offset(of: \.most), Layout.offset(of: \.outputs),
        Layout.offset(of: \.inner), Layout.offset(of: \.least_per_output),
        Layout.offset(of: \.most_per_output), Layout.offset(of: \.group),
        Layout.offset(of: \.most_per_group),
      ] == (0..<8).map { 8 * $0 })
  }

  @Test func searchOptions() {
    #expect(unsafe MemoryLayout<sf_search_options>.size == 144)
    #expect(
      unsafe [
        MemoryLayout<sf_search_options>.offset(of: \.method),
        MemoryLayout<sf_search_options>.offset(of: \.schedule),
        MemoryLayout<sf_search_options>.offset(of: \.saliency),
        MemoryLayout<sf_search_options>.offset(of: \.rule),
        MemoryLayout<sf_search_options>.offset(of: \.keep),
        MemoryLayout<sf_search_options>.offset(of: \.steps),
        MemoryLayout<sf_search_options>.offset(of: \.keeps),
        MemoryLayout<sf_search_options>.offset(of: \.seed),
        MemoryLayout<sf_search_options>.offset(of: \.total),
        MemoryLayout<sf_search_options>.offset(of: \.taken),
        MemoryLayout<sf_search_options>.offset(of: \.momentum),
        MemoryLayout<sf_search_options>.offset(of: \.removed_factor),
        MemoryLayout<sf_search_options>.offset(of: \.nested_from),
        MemoryLayout<sf_search_options>.offset(of: \.bounds),
        MemoryLayout<sf_search_options>.offset(of: \.counts),
        MemoryLayout<sf_search_options>.offset(of: \.units),
        MemoryLayout<sf_search_options>.offset(of: \.costs),
        MemoryLayout<sf_search_options>.offset(of: \.wholes),
        MemoryLayout<sf_search_options>.offset(of: \.whole_count),
        MemoryLayout<sf_search_options>.offset(of: \.first_whole),
      ] == [0, 4, 8, 12] + (2..<18).map { 8 * $0 })
  }

  @Test func ranks() {
    #expect(unsafe MemoryLayout<sf_ranks>.size == 48)
    #expect(
      unsafe [
        MemoryLayout<sf_ranks>.offset(of: \.sum), MemoryLayout<sf_ranks>.offset(of: \.context),
        MemoryLayout<sf_ranks>.offset(of: \.starts),
        MemoryLayout<sf_ranks>.offset(of: \.dimensions),
        MemoryLayout<sf_ranks>.offset(of: \.extents),
        MemoryLayout<sf_ranks>.offset(of: \.strides),
      ] == [0, 8, 16, 24, 32, 40])
  }

  @Test func stepArrays() {
    #expect(unsafe MemoryLayout<sf_step_arrays>.size == 56)
    #expect(
      unsafe [
        MemoryLayout<sf_step_arrays>.offset(of: \.weights),
        MemoryLayout<sf_step_arrays>.offset(of: \.gradients),
        MemoryLayout<sf_step_arrays>.offset(of: \.previous),
        MemoryLayout<sf_step_arrays>.offset(of: \.masks),
        MemoryLayout<sf_step_arrays>.offset(of: \.masked),
        MemoryLayout<sf_step_arrays>.offset(of: \.accumulated),
        MemoryLayout<sf_step_arrays>.offset(of: \.tensors),
      ] == [0, 8, 16, 24, 32, 40, 48])
  }

  @Test func report() {
    typealias Layout = MemoryLayout<sf_report>
    #expect(Layout.size == 136)
    #expect(
      [
        Layout.offset(of: \.step), Layout.offset(of: \.keep), Layout.offset(of: \.candidates),
        Layout.offset(of: \.removed), Layout.offset(of: \.revived),
        Layout.offset(of: \.zero_scores), Layout.offset(of: \.at_threshold),
        Layout.offset(of: \.kept_at_threshold), Layout.offset(of: \.arbitrary),
        Layout.offset(of: \.passes), Layout.offset(of: \.kept_by_floors),
        Layout.offset(of: \.removed_by_caps),
        Layout.offset(of: \.threshold), Layout.offset(of: \.saliency),
        Layout.offset(of: \.total_saliency), Layout.offset(of: \.gradient_norm),
        Layout.offset(of: \.objective_before),
      ] == (0..<17).map { 8 * $0 })
  }

  @Test func layer() {
    typealias Layout = MemoryLayout<sf_layer>
    #expect(Layout.size == 80)
    #expect(
      [
        Layout.offset(of: \.kind), Layout.offset(of: \.source), Layout.offset(of: \.addend),
        Layout.offset(of: \.has_bias),
      ] == [0, 4, 8, 12])
    #expect(
      [
        Layout.offset(of: \.inputs), Layout.offset(of: \.outputs), Layout.offset(of: \.kernel),
        Layout.offset(of: \.stride), Layout.offset(of: \.padding), Layout.offset(of: \.groups),
        Layout.offset(of: \.momentum), Layout.offset(of: \.epsilon),
      ] == (0..<8).map { 16 + 8 * $0 })
  }

  @Test func parameter() {
    #expect(unsafe MemoryLayout<sf_parameter>.size == 56)
    #expect(
      unsafe [
        MemoryLayout<sf_parameter>.offset(of: \.data),
        MemoryLayout<sf_parameter>.offset(of: \.layer),
        MemoryLayout<sf_parameter>.offset(of: \.role),
        MemoryLayout<sf_parameter>.offset(of: \.rank),
        MemoryLayout<sf_parameter>.offset(of: \.shape),
      ] == [0, 8, 16, 20, 24])
  }

  @Test func weightPlan() {
    #expect(MemoryLayout<sf_weight_plan>.size == 24)
    #expect(
      [
        MemoryLayout<sf_weight_plan>.offset(of: \.kept),
        MemoryLayout<sf_weight_plan>.offset(of: \.is_sparse),
        MemoryLayout<sf_weight_plan>.offset(of: \.limit),
        MemoryLayout<sf_weight_plan>.offset(of: \.multiply_adds),
      ] == [0, 8, 12, 16])
  }

  @Test func batch() {
    #expect(unsafe MemoryLayout<sf_batch>.size == 56)
    #expect(
      unsafe [
        MemoryLayout<sf_batch>.offset(of: \.inputs), MemoryLayout<sf_batch>.offset(of: \.labels),
        MemoryLayout<sf_batch>.offset(of: \.rows), MemoryLayout<sf_batch>.offset(of: \.samples),
        MemoryLayout<sf_batch>.offset(of: \.features), MemoryLayout<sf_batch>.offset(of: \.count),
        MemoryLayout<sf_batch>.offset(of: \.together),
      ] == [0, 8, 16, 24, 32, 40, 48])
  }

  @Test func descentAndResult() {
    typealias Descent = MemoryLayout<sf_sgd>
    #expect(Descent.size == 24)
    #expect(
      [
        Descent.offset(of: \.learning_rate), Descent.offset(of: \.momentum),
        Descent.offset(of: \.weight_decay),
      ] == [0, 8, 16])
    typealias Outcome = MemoryLayout<sf_batch_result>
    #expect(Outcome.size == 16)
    #expect([Outcome.offset(of: \.loss), Outcome.offset(of: \.correct)] == [0, 8])
  }

  @Test func sparseSizesAndArrays() {
    typealias Sizes = MemoryLayout<sf_sparse_sizes>
    #expect(Sizes.size == 80)
    #expect(
      [
        Sizes.offset(of: \.inputs), Sizes.offset(of: \.outputs), Sizes.offset(of: \.rows),
        Sizes.offset(of: \.columns),
      ] == [0, 8, 16, 48])
    #expect(
      [
        MemoryLayout<sf_side>.offset(of: \.inputs), MemoryLayout<sf_side>.offset(of: \.kernel),
        MemoryLayout<sf_side>.offset(of: \.stride), MemoryLayout<sf_side>.offset(of: \.padding),
      ] == [0, 8, 16, 24])
    #expect(
      unsafe [
        MemoryLayout<sf_sparse_arrays>.offset(of: \.samples),
        MemoryLayout<sf_sparse_arrays>.offset(of: \.source),
        MemoryLayout<sf_sparse_arrays>.offset(of: \.values),
        MemoryLayout<sf_sparse_arrays>.offset(of: \.bias),
        MemoryLayout<sf_sparse_arrays>.offset(of: \.output),
        MemoryLayout<sf_sparse_arrays>.offset(of: \.gradients),
      ] == [0, 8, 16, 24, 32, 40])
  }

  @Test func layerOperation() {
    #expect(unsafe MemoryLayout<sf_layer_operation>.size == 40)
    #expect(
      unsafe [
        MemoryLayout<sf_layer_operation>.offset(of: \.layer),
        MemoryLayout<sf_layer_operation>.offset(of: \.shape),
        MemoryLayout<sf_layer_operation>.offset(of: \.samples),
      ] == [0, 8, 32])
    #expect(
      unsafe [
        MemoryLayout<sf_layer_arrays>.offset(of: \.source),
        MemoryLayout<sf_layer_arrays>.offset(of: \.parameters),
        MemoryLayout<sf_layer_arrays>.offset(of: \.parameter_count),
        MemoryLayout<sf_layer_arrays>.offset(of: \.output),
        MemoryLayout<sf_layer_arrays>.offset(of: \.saved),
        MemoryLayout<sf_layer_arrays>.offset(of: \.output_gradient),
        MemoryLayout<sf_layer_arrays>.offset(of: \.source_gradient),
        MemoryLayout<sf_layer_arrays>.offset(of: \.parameter_gradients),
        MemoryLayout<sf_layer_arrays>.offset(of: \.gradient_count),
      ] == (0..<9).map { 8 * $0 })
  }
}
