/* The progressive search, and the sums over ranks that its steps may need. What must not live here:
 * one selection without a search (selection.c). */
#include "shim.h"

static const char search_name[] = "swiftforce.search";

static void free_search(PyObject *capsule) {
  sf_search_release((int64_t)(intptr_t)PyCapsule_GetPointer(capsule, search_name), NULL);
}

static void set_limits(sf_search_options *options, const tensor_limits *limits) {
  options->bounds = (const sf_bounds *)limits->bounds;
  options->counts = limits->counts;
  options->units = limits->units;
  options->costs = limits->costs;
}

/* Which of the tensors of all ranks the first one is, and the sizes of all, which the caller frees.
 * None: there is one rank. Returns 1, or 0 with an exception set. */
static int wholes_from(PyObject *tuple, long long *first, int64_t **sizes, Py_ssize_t *count) {
  PyObject *list;
  if (tuple == Py_None) return 1;
  if (!PyTuple_Check(tuple)) {
    PyErr_SetString(PyExc_TypeError, "wholes must be a tuple, or None");
    return 0;
  }
  if (!PyArg_ParseTuple(tuple, "LO:wholes", first, &list)) return 0;
  *sizes = integers_from(list, count);
  return *sizes != NULL;
}

PyObject *core_search_create(PyObject *module, PyObject *args) {
  PyObject *keep_list, *size_list, *bound_list, *count_list, *units, *cost_list, *whole_tuple;
  sf_search_options options = {0};
  tensor_limits limits = {0};
  long long keep, steps, total, taken, nested_from, first_whole = 0;
  unsigned long long seed;
  int64_t handle, *sizes = NULL, *keeps = NULL, *wholes = NULL;
  Py_ssize_t tensors = 0, keep_count = 0, whole_count = 0;
  sf_error error;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "iiLLOOKLLddLiiOOOOO:search_create", &options.method,
                        &options.schedule, &keep, &steps, &keep_list, &size_list, &seed, &total,
                        &taken, &options.momentum, &options.removed_factor, &nested_from,
                        &options.saliency, &options.rule, &bound_list, &count_list, &units,
                        &cost_list, &whole_tuple))
    return NULL;
  sizes = integers_from(size_list, &tensors);
  if (!sizes) goto done;
  if (keep_list != Py_None) {
    keeps = integers_from(keep_list, &keep_count);
    if (!keeps) goto done;
    steps = keep_count;
  }
  if (!wholes_from(whole_tuple, &first_whole, &wholes, &whole_count) ||
      !limits_from(bound_list, count_list, units, cost_list, wholes ? whole_count : tensors,
                   &limits))
    goto done;
  set_limits(&options, &limits);
  options.wholes = wholes;
  options.whole_count = whole_count;
  options.first_whole = first_whole;
  options.keep = keep;
  options.steps = steps;
  options.keeps = keeps;
  options.seed = seed;
  options.total = total;
  options.taken = taken;
  options.nested_from = nested_from;
  if (!check_status(module, sf_search_create(&options, sizes, tensors, &handle, &error), &error))
    goto done;
  result = PyCapsule_New((void *)(intptr_t)handle, search_name, free_search);
  if (!result) sf_search_release(handle, NULL);
done:
  PyMem_Free(sizes);
  PyMem_Free(keeps);
  PyMem_Free(wholes);
  release_limits(&limits);
  return result;
}

/* How a step reaches the other ranks: a Python function that adds up the integers in a bytearray
 * over all ranks. It also holds the exception that this function raised. */
typedef struct {
  PyObject *sum;
  PyThreadState *state; /* of the thread that takes the step, while it does not hold the GIL */
  PyObject *type, *value, *trace;
} rank_exchange;

/* Replaces numbers by their sums over all ranks. The Python function gets a copy, so a reference
 * that it keeps never points to freed memory. */
static int32_t sum_over_ranks(void *context, int64_t *values, int64_t count) {
  rank_exchange *exchange = context;
  Py_ssize_t bytes = (Py_ssize_t)(count * (int64_t)sizeof(int64_t));
  PyEval_RestoreThread(exchange->state);
  PyObject *copy = PyByteArray_FromStringAndSize((const char *)values, bytes);
  PyObject *returned = copy ? PyObject_CallFunctionObjArgs(exchange->sum, copy, NULL) : NULL;
  if (returned && PyByteArray_Size(copy) != bytes)
    PyErr_SetString(PyExc_ValueError,
                    "the function for sums over all ranks changed the length of its bytearray");
  else if (returned)
    memcpy(values, PyByteArray_AsString(copy), (size_t)bytes);
  int failed = PyErr_Occurred() != NULL;
  if (failed) PyErr_Fetch(&exchange->type, &exchange->value, &exchange->trace);
  Py_XDECREF(returned);
  Py_XDECREF(copy);
  exchange->state = PyEval_SaveThread();
  return failed;
}

/* Three lists about pieces: their numbers of dimensions, and the extents and strides of all. The
 * caller frees the lists. None: there are none. */
static int pieces_from(PyObject *lists, Py_ssize_t tensors, int64_t *pieces[3]) {
  Py_ssize_t counts[3], total = 0;
  if (lists == Py_None) return 1;
  for (int i = 0; i < 3; i++) {
    PyObject *list = PySequence_GetItem(lists, i);
    if (!list) return 0;
    pieces[i] = integers_from(list, &counts[i]);
    Py_DECREF(list);
    if (!pieces[i]) return 0;
  }
  int fit = counts[0] == tensors;
  for (Py_ssize_t i = 0; fit && i < tensors; i++) {
    fit = pieces[0][i] >= 0 && pieces[0][i] <= counts[1] - total;
    total += fit ? (Py_ssize_t)pieces[0][i] : 0;
  }
  if (!fit || counts[1] != total || counts[2] != total) {
    PyErr_SetString(PyExc_ValueError, "the lists about pieces differ in length");
    return 0;
  }
  return 1;
}

/* Tells the other ranks that this one cannot take the step, and keeps the exception that says
 * why. */
static void report_failure(rank_exchange *exchange) {
  PyObject *type, *value, *trace;
  const int64_t start = 0;
  sf_ranks ranks = {sum_over_ranks, exchange, &start, NULL, NULL, NULL};
  PyErr_Fetch(&type, &value, &trace);
  exchange->state = PyEval_SaveThread();
  sf_search_step_shared(0, NULL, &ranks, NULL, NULL, NULL);
  PyEval_RestoreThread(exchange->state);
  Py_XDECREF(exchange->type);
  Py_XDECREF(exchange->value);
  Py_XDECREF(exchange->trace);
  PyErr_Restore(type, value, trace);
}

/* What a step, or an objective, is called with. All zeros means none. */
typedef struct {
  held_arrays weights, gradients, previous, masks, masked, accumulated;
  rank_exchange exchange;
  int64_t *starts, *pieces[3];
  int is_shared; /* whether there are other ranks, who must be told if the call is not made */
} search_call;

/* The connection to other ranks: a function, and where the tensors of this rank lie. Returns 1, or
 * 0 with an exception set; either way release_call is needed. */
static int acquire_ranks(PyObject *start_list, PyObject *piece_lists, search_call *call) {
  Py_ssize_t start_count = 0;
  if (!call->is_shared) return 1;
  call->starts = integers_from(start_list, &start_count);
  if (!call->starts) return 0;
  if (start_count != call->weights.count) {
    PyErr_SetString(PyExc_ValueError, "starts and weights differ in length");
    return 0;
  }
  return pieces_from(piece_lists, call->weights.count, call->pieces);
}

static void release_call(search_call *call) {
  PyMem_Free(call->starts);
  for (int i = 0; i < 3; i++) PyMem_Free(call->pieces[i]);
  release_arrays(&call->weights);
  release_arrays(&call->gradients);
  release_arrays(&call->previous);
  release_arrays(&call->masks);
  release_arrays(&call->masked);
  release_arrays(&call->accumulated);
}

/* Raises what the function for sums raised. Returns whether there was anything. */
static int raise_of(rank_exchange *exchange) {
  if (!exchange->type) return 0;
  PyErr_Restore(exchange->type, exchange->value, exchange->trace);
  return 1;
}

PyObject *core_search_step(PyObject *module, PyObject *args) {
  PyObject *capsule, *weight_list, *gradient_list, *previous_list, *mask_list, *masked_list;
  PyObject *accumulated_list, *start_list, *piece_lists;
  search_call call = {0};
  sf_report report;
  sf_error error;
  int32_t status;
  int64_t *layer_kept = NULL;
  PyObject *result = NULL;
  int is_taken = 0;
  if (!PyArg_ParseTuple(args, "OOOOOOOOOO:search_step", &capsule, &weight_list, &gradient_list,
                        &previous_list, &mask_list, &masked_list, &accumulated_list,
                        &call.exchange.sum, &start_list, &piece_lists))
    return NULL;
  call.is_shared = start_list != Py_None;
  int64_t handle = handle_from(capsule, search_name);
  if (!handle) goto done;
  if (!acquire_arrays(weight_list, 0, &call.weights) ||
      !acquire_arrays(gradient_list, 0, &call.gradients) ||
      !acquire_arrays(previous_list, 0, &call.previous) ||
      !acquire_arrays(mask_list, 1, &call.masks) ||
      !acquire_arrays(masked_list, 1, &call.masked) ||
      !acquire_arrays(accumulated_list, 1, &call.accumulated))
    goto done;
  if (!same_length(&call.weights, &call.gradients) || !same_length(&call.weights, &call.previous) ||
      !same_length(&call.weights, &call.masks) || !same_length(&call.weights, &call.masked) ||
      !same_length(&call.weights, &call.accumulated))
    goto done;
  layer_kept = PyMem_Calloc((size_t)call.weights.count + 1, sizeof(int64_t));
  if (!layer_kept) {
    PyErr_NoMemory();
    goto done;
  }
  if (!acquire_ranks(start_list, piece_lists, &call)) goto done;
  sf_step_arrays arrays = {call.weights.arrays, call.gradients.arrays, call.previous.arrays,
                           call.masks.arrays,   call.masked.arrays,    call.accumulated.arrays,
                           call.weights.count};
  sf_ranks ranks = {sum_over_ranks, &call.exchange,  call.starts,
                    call.pieces[0], call.pieces[1], call.pieces[2]};
  is_taken = 1;
  call.exchange.state = PyEval_SaveThread();
  status = call.is_shared
               ? sf_search_step_shared(handle, &arrays, &ranks, &report, layer_kept, &error)
               : sf_search_step(handle, &arrays, &report, layer_kept, &error);
  PyEval_RestoreThread(call.exchange.state);
  if (raise_of(&call.exchange)) goto done;
  if (check_status(module, status, &error))
    result = report_dict(module, &report, layer_kept, call.weights.count);
done:
  if (call.is_shared && !is_taken) report_failure(&call.exchange);
  PyMem_Free(layer_kept);
  release_call(&call);
  return result;
}

PyObject *core_search_once(PyObject *module, PyObject *args) {
  PyObject *weight_list, *gradient_list, *mask_list, *limit_lists, *bound_list, *count_list, *units,
      *cost_list;
  sf_search_options options = {.steps = 1, .saliency = -1, .rule = -1, .removed_factor = 1};
  tensor_limits limits = {0};
  held_arrays weights = {0}, gradients = {0}, masks = {0};
  long long keep;
  unsigned long long seed;
  int64_t *layer_kept = NULL;
  sf_report report;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "iLKOOOO!:search_once", &options.method, &keep, &seed, &weight_list,
                        &gradient_list, &mask_list, &PyTuple_Type, &limit_lists) ||
      !PyArg_ParseTuple(limit_lists, "OOOO:search_once", &bound_list, &count_list, &units,
                        &cost_list))
    return NULL;
  options.keep = keep;
  options.seed = seed;
  if (!acquire_arrays(weight_list, 0, &weights) || !acquire_arrays(gradient_list, 0, &gradients) ||
      !acquire_arrays(mask_list, 1, &masks) || !same_length(&weights, &gradients) ||
      !same_length(&weights, &masks))
    goto done;
  if (!limits_from(bound_list, count_list, units, cost_list, weights.count, &limits)) goto done;
  set_limits(&options, &limits);
  layer_kept = PyMem_Calloc((size_t)weights.count + 1, sizeof(int64_t));
  if (!layer_kept) {
    PyErr_NoMemory();
    goto done;
  }
  sf_step_arrays arrays = {
      .weights = weights.arrays, .gradients = gradients.arrays, .masks = masks.arrays,
      .tensors = weights.count};
  Py_BEGIN_ALLOW_THREADS
  status = sf_search_once(&options, &arrays, &report, layer_kept, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error))
    result = report_dict(module, &report, layer_kept, weights.count);
done:
  PyMem_Free(layer_kept);
  release_limits(&limits);
  release_arrays(&weights);
  release_arrays(&gradients);
  release_arrays(&masks);
  return result;
}

PyObject *core_search_objective(PyObject *module, PyObject *args) {
  PyObject *capsule, *weight_list, *gradient_list, *mask_list, *start_list, *piece_lists;
  search_call call = {0};
  sf_error error;
  int32_t status;
  double objective;
  PyObject *result = NULL;
  int is_taken = 0;
  if (!PyArg_ParseTuple(args, "OOOOOOO:search_objective", &capsule, &weight_list, &gradient_list,
                        &mask_list, &call.exchange.sum, &start_list, &piece_lists))
    return NULL;
  call.is_shared = start_list != Py_None;
  int64_t handle = handle_from(capsule, search_name);
  if (!handle) goto done;
  if (!acquire_arrays(weight_list, 0, &call.weights) ||
      !acquire_arrays(gradient_list, 0, &call.gradients) ||
      !acquire_arrays(mask_list, 0, &call.masks))
    goto done;
  if (!same_length(&call.weights, &call.gradients) || !same_length(&call.weights, &call.masks))
    goto done;
  if (!acquire_ranks(start_list, piece_lists, &call)) goto done;
  sf_step_arrays arrays = {0};
  arrays.weights = call.weights.arrays;
  arrays.gradients = call.gradients.arrays;
  arrays.masks = call.masks.arrays;
  arrays.tensors = call.weights.count;
  sf_ranks ranks = {sum_over_ranks, &call.exchange,  call.starts,
                    call.pieces[0], call.pieces[1], call.pieces[2]};
  is_taken = 1;
  call.exchange.state = PyEval_SaveThread();
  status =
      sf_search_objective(handle, &arrays, call.is_shared ? &ranks : NULL, &objective, &error);
  PyEval_RestoreThread(call.exchange.state);
  if (raise_of(&call.exchange)) goto done;
  if (check_status(module, status, &error)) result = PyFloat_FromDouble(objective);
done:
  if (call.is_shared && !is_taken) report_failure(&call.exchange);
  release_call(&call);
  return result;
}

PyObject *core_search_taken(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t taken, steps;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, "O:search_taken", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, search_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_search_state(handle, &taken, &steps, NULL, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) return NULL;
  return PyLong_FromLongLong(taken);
}

PyObject *core_search_report(PyObject *module, PyObject *args) {
  PyObject *capsule;
  long long step;
  Py_ssize_t tensors;
  sf_report report;
  sf_error error;
  int32_t status;
  int64_t *layer_kept = NULL;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OLn:search_report", &capsule, &step, &tensors)) return NULL;
  if (tensors < 0 || tensors > (1 << 24)) {
    PyErr_SetString(PyExc_ValueError, "tensors must be in 0 ... 16777216");
    return NULL;
  }
  int64_t handle = handle_from(capsule, search_name);
  if (!handle) return NULL;
  layer_kept = PyMem_Calloc((size_t)tensors + 1, sizeof(int64_t));
  if (!layer_kept) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_search_report(handle, step, &report, layer_kept, tensors, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error))
    result = report_dict(module, &report, layer_kept, tensors);
  PyMem_Free(layer_kept);
  return result;
}
