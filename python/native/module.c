/* The module: its table of functions, its state, its initialisation. What must not live here: the
 * functions themselves. */
#include "shim.h"

static PyMethodDef methods[] = {
    {"names", core_names, METH_VARARGS, "names(axis) -> the names of one axis, in order."},
    {"cpu_levels", core_cpu_levels, METH_NOARGS,
     "cpu_levels() -> the CPU level in use, and the others that this machine has."},
    {"threads", core_threads, METH_NOARGS, "threads() -> how many threads a call may use."},
    {"set_threads", core_set_threads, METH_VARARGS, "set_threads(threads)"},
    {"ieee", core_ieee, METH_O,
     "ieee(function) -> what function() returns, with the floating-point registers of the core."},
    {"saliency_reads", core_saliency_reads, METH_VARARGS,
     "saliency_reads(number) -> (whether weights are read, whether gradients are)."},
    {"method", core_method, METH_VARARGS, "method(number) -> its row of the table of methods."},
    {"keep_count", core_keep_count, METH_VARARGS, "keep_count(n, sparsity) -> weights to keep."},
    {"schedule", core_schedule, METH_VARARGS, "schedule(kind, n, keep, steps) -> kept per step."},
    {"addresses", core_addresses, METH_O,
     "addresses(arrays) -> where each contiguous array begins."},
    {"permutation", core_permutation, METH_VARARGS,
     "permutation(order, seed, stream): fills order."},
    {"saliency", core_saliency, METH_VARARGS,
     "saliency(kind, weights, gradients, scores, seed): fills scores."},
    {"allocate", core_allocate, METH_VARARGS,
     "allocate(allocation, sizes, ends, bounds, keep) -> how many weights each tensor keeps."},
    {"bounds_range", core_bounds_range, METH_VARARGS,
     "bounds_range(sizes, bounds) -> how many weights each tensor must keep, and may keep."},
    {"select", core_select, METH_VARARGS,
     "select(scores, masks, keep, bounds, counts, units, costs) -> report; fills masks. bounds: None, or"
     " eight numbers for each tensor, see sf_bounds; counts: None, or how many weights each tensor"
     " keeps; units: None, or (pattern, means, rows, columns, axes), see sf_units; costs: None, or what"
     " a weight of each tensor costs."},
    {"scan", core_scan, METH_VARARGS,
     "scan(arrays) -> exclusive or of their 64-bit words; for benchmarks."},
    {"search_create", core_search_create, METH_VARARGS,
     "search_create(method, schedule, keep, steps, keeps, sizes, seed, total, taken, momentum,"
     " removed_factor, nested_from, saliency, rule, bounds, counts, units, costs, wholes) -> search;"
     " saliency, rule: -1 for those of the method; bounds, counts, units, costs: see select; wholes:"
     " None, or (position of the first tensor, sizes) among the tensors of all ranks."},
    {"search_step", core_search_step, METH_VARARGS,
     "search_step(search, weights, gradients, previous, masks, masked, accumulated, sum, starts,"
     " pieces)"
     " -> report; fills masks, masked, accumulated. sum(bytearray) adds up int64 over all ranks, in"
     " place;"
     " starts None: no ranks. pieces: dimensions of each, extents and strides of all; None: whole"
     " tensors."},
    {"search_once", core_search_once, METH_VARARGS,
     "search_once(method, keep, seed, weights, gradients, masks, (bounds, counts, units, costs)) ->"
     " report of a search of one step; fills masks."},
    {"search_taken", core_search_taken, METH_VARARGS, "search_taken(search) -> steps taken."},
    {"search_report", core_search_report, METH_VARARGS,
     "search_report(search, step, tensors) -> report of a step that was taken."},
    {"search_objective", core_search_objective, METH_VARARGS,
     "search_objective(search, weights, gradients, masks, sum, starts, pieces) -> the sum of the"
     " scores of kept weights; the last three as for search_step."},
    {"network_create", core_network_create, METH_VARARGS,
     "network_create([(kind, source, addend, bias, inputs, outputs, kernel, stride, padding, groups,"
     " momentum, epsilon)], input_shape, seed) -> network."},
    {"network_sizes", core_network_sizes, METH_VARARGS,
     "network_sizes(network) -> (features, classes)."},
    {"network_parameters", core_network_parameters, METH_VARARGS,
     "network_parameters(network) -> ((layer, role, shape), ...)."},
    {"network_view", core_network_view, METH_VARARGS,
     "network_view(network, parameter) -> a buffer over the parameter's memory."},
    {"network_apply", core_network_apply, METH_VARARGS,
     "network_apply(network, masks, sparse): removes weights; None lifts the masks."},
    {"network_plan", core_network_plan, METH_VARARGS,
     "network_plan(network): (kept, is_sparse, limit in thousandths, multiply-adds of each element) of"
     " each prunable weight."},
    {"network_masks", core_network_masks, METH_VARARGS,
     "network_masks(network, masks) -> whether there are masks; fills masks."},
    {"network_magnitudes", core_network_magnitudes, METH_VARARGS,
     "network_magnitudes(network) -> the largest magnitude of each parameter."},
    {"network_remember", core_network_remember, METH_VARARGS,
     "network_remember(network): copies the parameters."},
    {"network_restore", core_network_restore, METH_VARARGS,
     "network_restore(network): sets the parameters to the copy, masked."},
    {"network_forget", core_network_forget, METH_VARARGS,
     "network_forget(network): releases the copy."},
    {"network_reset", core_network_reset, METH_VARARGS,
     "network_reset(network): forgets the momentum."},
    {"network_gradients", core_network_gradients, METH_VARARGS,
     "network_gradients(network, weights, gradients, inputs, labels, rows, together, running,"
     " of_zeros, loss, temperature) -> (loss, correct)."},
    {"network_train", core_network_train, METH_VARARGS,
     "network_train(network, inputs, labels, rows, learning_rate, momentum, weight_decay)"
     " -> (loss, correct)."},
    {"network_evaluate", core_network_evaluate, METH_VARARGS,
     "network_evaluate(network, inputs, labels, rows) -> (loss, correct)."},
    {"network_forward", core_network_forward, METH_VARARGS,
     "network_forward(network, inputs, logits): fills logits."},
    {"layer_forward", core_layer_forward, METH_VARARGS,
     "layer_forward(layer, shape, samples, source, parameters, output, saved): fills"
     " output and saved, and running statistics among the parameters."},
    {"layer_backward", core_layer_backward, METH_VARARGS,
     "layer_backward(layer, shape, samples, source, parameters, output, saved,"
     " output_gradient, source_gradient, parameter_gradients): fills the last two, unless they are"
     " None."},
    {"sparse_limit", core_sparse_limit, METH_O,
     "sparse_limit(sizes) -> the density, in thousandths, up to which kept weights alone are faster."
     " sizes: inputs, outputs, and for rows and columns (inputs, kernel, stride, padding)."},
    {"sparse_create", core_sparse_create, METH_VARARGS, "sparse_create(sizes, mask) -> operation."},
    {"sparse_forward", core_sparse_forward, METH_VARARGS,
     "sparse_forward(operation, samples, source, values, bias, output): fills output."},
    {"sparse_backward", core_sparse_backward, METH_VARARGS,
     "sparse_backward(operation, samples, source, values, output_gradient, source_gradient,"
     " value_gradient, bias_gradient): fills the last three, unless they are None."},
    {NULL, NULL, 0, NULL},
};

#define NAME_ENTRY(value, name, text) #name,
static const char *const status_names[] = {SF_STATUSES(NAME_ENTRY)};
static const char *const operand_names[] = {SF_OPERANDS(NAME_ENTRY)};
static const char *const axis_names[] = {SF_AXES(NAME_ENTRY)};
#undef NAME_ENTRY

static PyObject *names_tuple(const char *const *names, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *name = PyUnicode_InternFromString(names[i]);
    if (!name || PyTuple_SetItem(tuple, i, name) < 0) Py_CLEAR(tuple);
  }
  return tuple;
}

/* Adds a tuple of strings to the module. A string's position is the number it stands for. */
static int add_names(PyObject *module, const char *attribute, const char *const *names,
                     Py_ssize_t count) {
  PyObject *tuple = names_tuple(names, count);
  int added = tuple ? PyModule_AddObjectRef(module, attribute, tuple) : -1;
  Py_XDECREF(tuple);
  return added;
}

static int core_exec(PyObject *module) {
  module_state *state = state_of(module);
  int32_t version = 0;
  if (sf_abi_version(&version, NULL) != SF_OK || version != SF_ABI_VERSION) {
    PyErr_Format(PyExc_ImportError, "the Swift core has interface version %d, not %d",
                 (int)version, SF_ABI_VERSION);
    return -1;
  }
  state->native_error = PyErr_NewExceptionWithDoc(
      "swiftforce._core.NativeError",
      "What the core refuses: (status, operand, tensor, index, count, value, message).",
      PyExc_Exception, NULL);
  if (!state->native_error) return -1;
  state->view_type = PyType_FromModuleAndSpec(module, &view_spec, NULL);
  if (!state->view_type) return -1;
  state->report_names = names_tuple(report_names, REPORT_NAMES);
  if (!state->report_names) return -1;
  if (PyModule_AddObjectRef(module, "NativeError", state->native_error) < 0) return -1;
  if (PyModule_AddObjectRef(module, "View", state->view_type) < 0) return -1;
  if (add_names(module, "STATUSES", status_names, COUNT(status_names)) < 0) return -1;
  if (add_names(module, "OPERANDS", operand_names, COUNT(operand_names)) < 0) return -1;
  return add_names(module, "AXES", axis_names, COUNT(axis_names));
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
  Py_VISIT(state_of(module)->native_error);
  Py_VISIT(state_of(module)->view_type);
  Py_VISIT(state_of(module)->report_names);
  return 0;
}

static int core_clear(PyObject *module) {
  Py_CLEAR(state_of(module)->native_error);
  Py_CLEAR(state_of(module)->view_type);
  Py_CLEAR(state_of(module)->report_names);
  return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, core_exec}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "The native core of swiftforce. Use the package; this is its inside.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
