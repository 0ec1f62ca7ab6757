/* The CPython side of the border: Python buffers in, numbers out. It knows no algorithm, raises
 * one exception (_core.NativeError, which swiftforce.errors turns into the public ones), and holds
 * nothing but handles. Limited API, so one binary serves CPython 3.11 and later.
 *
 * Every function has one exit: whatever it acquired, `done:` releases.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "swiftforce.h"

typedef struct {
  PyObject *native_error;
  PyObject *view_type;
  PyObject *report_names; /* a tuple */
} core_state;

static core_state *state_of(PyObject *module) { return (core_state *)PyModule_GetState(module); }

#define COUNT(list) ((Py_ssize_t)(sizeof(list) / sizeof((list)[0])))

/* ------------------------------------------------------------------------------------ errors */

/* 1 where the status is SF_OK; else raises NativeError and returns 0. */
static int succeeded(PyObject *module, int32_t status, const sf_error *error) {
  if (status == SF_OK) return 1;
  PyObject *facts =
      Py_BuildValue("(iiLLLds)", error->status, error->operand, (long long)error->tensor,
                    (long long)error->index, (long long)error->count, error->value, error->message);
  if (facts) PyErr_SetObject(state_of(module)->native_error, facts);
  Py_XDECREF(facts);
  return 0;
}

/* ----------------------------------------------------------------------------------- buffers */

/* The arrays of one argument, held for the length of a call. Zeroed is empty. */
typedef struct {
  Py_buffer *views;
  sf_array *arrays;
  Py_ssize_t count; /* views acquired */
} arrays_t;

/* The one place that maps buffer formats to element types, but for bfloat16, which has none: see
 * acquire_one. -1 is refused by the core. */
static int32_t type_of(const Py_buffer *view) {
  const char *format = view->format;
  if (format[0] == '@' || format[0] == '=') format++;
  if (strlen(format) != 1) return -1;
  switch (format[0]) {
    case 'f': return view->itemsize == 4 ? SF_TYPE_FLOAT32 : -1;
    case 'd': return view->itemsize == 8 ? SF_TYPE_FLOAT64 : -1;
    case 'e': return view->itemsize == 2 ? SF_TYPE_FLOAT16 : -1;
    case '?': return view->itemsize == 1 ? SF_TYPE_MASK : -1;
    case 'l':
    case 'q': return view->itemsize == 8 ? SF_TYPE_INT64 : -1;
    default: return -1;
  }
}

/* Whether an array holds the bfloat16 of ml_dtypes, which no buffer format names. Leaves errors as
 * they are. */
static int holds_bfloat16(PyObject *object) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyObject *dtype = PyObject_GetAttrString(object, "dtype");
  PyObject *name = dtype ? PyObject_GetAttrString(dtype, "name") : NULL;
  int found = name && PyUnicode_Check(name) &&
              PyUnicode_CompareWithASCIIString(name, "bfloat16") == 0;
  Py_XDECREF(name);
  Py_XDECREF(dtype);
  PyErr_Restore(type, value, trace);
  return found;
}

static int acquire_one(PyObject *object, int writable, Py_buffer *view, sf_array *array) {
  int flags = PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
  int32_t nameless = -1;
  if (PyObject_GetBuffer(object, view, flags | PyBUF_FORMAT) < 0) {
    if (!holds_bfloat16(object)) return 0;
    PyErr_Clear();
    if (PyObject_GetBuffer(object, view, flags) < 0) return 0;
    if (view->itemsize == 2) nameless = SF_TYPE_BFLOAT16;
  }
  array->data = view->buf;
  array->count = view->itemsize > 0 ? view->len / view->itemsize : 0;
  array->type = view->format ? type_of(view) : nameless;
  return 1;
}

/* Acquires a sequence of arrays; None stays empty. */
static int acquire(PyObject *list, int writable, arrays_t *out) {
  if (list == Py_None) return 1;
  Py_ssize_t count = PySequence_Size(list);
  if (count < 0) return 0;
  out->views = PyMem_Calloc((size_t)count + 1, sizeof(Py_buffer));
  out->arrays = PyMem_Calloc((size_t)count + 1, sizeof(sf_array));
  if (!out->views || !out->arrays) {
    PyErr_NoMemory();
    return 0;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *item = PySequence_GetItem(list, i);
    int fine = item && acquire_one(item, writable, &out->views[i], &out->arrays[i]);
    Py_XDECREF(item);
    if (!fine) return 0;
    out->count = i + 1;
  }
  return 1;
}

static void release(arrays_t *held) {
  for (Py_ssize_t i = 0; i < held->count; i++) PyBuffer_Release(&held->views[i]);
  PyMem_Free(held->views);
  PyMem_Free(held->arrays);
  memset(held, 0, sizeof *held);
}

/* Whether lists that go with `first` are as long as it; NULL lists are left to the core. */
static int same_length(const arrays_t *first, const arrays_t *other) {
  if (!other->arrays || other->count == first->count) return 1;
  PyErr_SetString(PyExc_ValueError, "lists of arrays differ in length");
  return 0;
}

/* Where each array of a sequence begins. Of any type, since nothing is read. */
static PyObject *core_addresses(PyObject *Py_UNUSED(module), PyObject *list) {
  Py_ssize_t count = PySequence_Size(list);
  PyObject *addresses = count < 0 ? NULL : PyTuple_New(count);
  for (Py_ssize_t i = 0; addresses && i < count; i++) {
    Py_buffer view;
    PyObject *array = PySequence_GetItem(list, i);
    PyObject *address = NULL;
    if (array && PyObject_GetBuffer(array, &view, PyBUF_SIMPLE) == 0) {
      address = PyLong_FromVoidPtr(view.buf);
      PyBuffer_Release(&view);
    }
    Py_XDECREF(array);
    if (!address || PyTuple_SetItem(addresses, i, address) < 0) Py_CLEAR(addresses);
  }
  return addresses;
}

/* A tuple of Python integers, as numbers that PyMem_Free releases. */
static int64_t *integers(PyObject *tuple, Py_ssize_t *count) {
  *count = PySequence_Size(tuple);
  if (*count < 0) return NULL;
  int64_t *numbers = PyMem_Calloc((size_t)*count + 1, sizeof(int64_t));
  if (!numbers) {
    PyErr_NoMemory();
    return NULL;
  }
  for (Py_ssize_t i = 0; i < *count; i++) {
    PyObject *item = PySequence_GetItem(tuple, i);
    numbers[i] = item ? PyLong_AsLongLong(item) : -1;
    Py_XDECREF(item);
    if (PyErr_Occurred()) {
      PyMem_Free(numbers);
      return NULL;
    }
  }
  return numbers;
}

static PyObject *integer_tuple(const int64_t *numbers, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *number = PyLong_FromLongLong(numbers[i]);
    if (!number || PyTuple_SetItem(tuple, i, number) < 0) {
      Py_CLEAR(tuple);
    }
  }
  return tuple;
}

/* -------------------------------------------------------------------------------- vocabulary */

static PyObject *lines_of(const char *text) {
  PyObject *joined = PyUnicode_FromString(text);
  PyObject *lines = joined ? PyUnicode_Splitlines(joined, 0) : NULL;
  PyObject *names = lines ? PyList_AsTuple(lines) : NULL;
  Py_XDECREF(joined);
  Py_XDECREF(lines);
  return names;
}

static PyObject *core_names(PyObject *module, PyObject *args) {
  int axis;
  char text[4096];
  sf_error error;
  if (!PyArg_ParseTuple(args, "i:names", &axis)) return NULL;
  if (!succeeded(module, sf_names(axis, text, sizeof text, &error), &error)) return NULL;
  return lines_of(text);
}

static PyObject *core_cpu_levels(PyObject *module, PyObject *Py_UNUSED(args)) {
  char text[1024];
  sf_error error;
  if (!succeeded(module, sf_cpu_levels(text, sizeof text, &error), &error)) return NULL;
  return lines_of(text);
}

static PyObject *core_threads(PyObject *module, PyObject *Py_UNUSED(args)) {
  int64_t threads;
  sf_error error;
  if (!succeeded(module, sf_threads(&threads, &error), &error)) return NULL;
  return PyLong_FromLongLong(threads);
}

static PyObject *core_set_threads(PyObject *module, PyObject *args) {
  long long threads;
  sf_error error;
  if (!PyArg_ParseTuple(args, "L:set_threads", &threads)) return NULL;
  if (!succeeded(module, sf_set_threads(threads, &error), &error)) return NULL;
  return Py_NewRef(Py_None);
}

static PyObject *core_saliency_reads(PyObject *module, PyObject *args) {
  int saliency;
  sf_saliency_info info;
  sf_error error;
  if (!PyArg_ParseTuple(args, "i:saliency_reads", &saliency)) return NULL;
  if (!succeeded(module, sf_saliency_reads(saliency, &info, &error), &error)) return NULL;
  return Py_BuildValue("(NN)", PyBool_FromLong(info.reads_weights),
                       PyBool_FromLong(info.reads_gradients));
}

static PyObject *core_method(PyObject *module, PyObject *args) {
  int method;
  sf_method_info info;
  sf_error error;
  if (!PyArg_ParseTuple(args, "i:method", &method)) return NULL;
  if (!succeeded(module, sf_method(method, &info, &error), &error)) return NULL;
  return Py_BuildValue("{s:i,s:i,s:N,s:N}", "saliency", info.saliency, "rule", info.rule,
                       "one_shot", PyBool_FromLong(info.one_shot), "needs_gradients",
                       PyBool_FromLong(info.needs_gradients));
}

static PyObject *core_keep_count(PyObject *module, PyObject *args) {
  long long n;
  double sparsity;
  int64_t keep;
  sf_error error;
  if (!PyArg_ParseTuple(args, "Ld:keep_count", &n, &sparsity)) return NULL;
  if (!succeeded(module, sf_keep_count(n, sparsity, &keep, &error), &error)) return NULL;
  return PyLong_FromLongLong(keep);
}

static PyObject *core_schedule(PyObject *module, PyObject *args) {
  int schedule;
  long long n, keep, steps;
  sf_error error;
  if (!PyArg_ParseTuple(args, "iLLL:schedule", &schedule, &n, &keep, &steps)) return NULL;
  size_t room = steps > 0 && steps <= (1 << 24) ? (size_t)steps : 1;
  int64_t *keeps = PyMem_Calloc(room, sizeof(int64_t));
  if (!keeps) return PyErr_NoMemory();
  PyObject *result = NULL;
  if (succeeded(module, sf_schedule(schedule, n, keep, steps, keeps, &error), &error))
    result = integer_tuple(keeps, (Py_ssize_t)steps);
  PyMem_Free(keeps);
  return result;
}

static PyObject *core_permutation(PyObject *module, PyObject *args) {
  PyObject *order;
  unsigned long long seed, stream;
  Py_buffer view = {0};
  sf_array array = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OKK:permutation", &order, &seed, &stream)) return NULL;
  if (!acquire_one(order, 1, &view, &array)) return NULL;
  if (array.type != SF_TYPE_INT64) {
    PyErr_SetString(PyExc_TypeError, "order must hold int64");
    goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_permutation(array.count, seed, stream, array.data, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = Py_NewRef(Py_None);
done:
  PyBuffer_Release(&view);
  return result;
}

/* --------------------------------------------------------------------------------- selection */

/* The entries of a report, in the order in which `outcome` lists their values. */
static const char *const report_names[] = {
    "step",        "keep",         "candidates",        "removed",       "revived",
    "zero_scores", "at_threshold", "kept_at_threshold", "arbitrary",     "readings",
    "threshold",   "saliency",     "total_saliency",    "gradient_norm", "layer_kept"};

static PyObject *outcome(PyObject *module, const sf_report *r, const int64_t *layer_kept,
                         Py_ssize_t tensors) {
  PyObject *values[] = {PyLong_FromLongLong(r->step),
                        PyLong_FromLongLong(r->keep),
                        PyLong_FromLongLong(r->candidates),
                        PyLong_FromLongLong(r->removed),
                        PyLong_FromLongLong(r->revived),
                        PyLong_FromLongLong(r->zero_scores),
                        PyLong_FromLongLong(r->at_threshold),
                        PyLong_FromLongLong(r->kept_at_threshold),
                        PyLong_FromLongLong(r->arbitrary),
                        PyLong_FromLongLong(r->readings),
                        PyFloat_FromDouble(r->threshold),
                        PyFloat_FromDouble(r->saliency),
                        PyFloat_FromDouble(r->total_saliency),
                        PyFloat_FromDouble(r->gradient_norm),
                        integer_tuple(layer_kept, tensors)};
  _Static_assert(COUNT(values) == COUNT(report_names), "a value for each name");
  PyObject *names = state_of(module)->report_names;
  PyObject *report = PyDict_New();
  for (Py_ssize_t i = 0; i < COUNT(values); i++) {
    if (report && (!values[i] || PyDict_SetItem(report, PyTuple_GetItem(names, i), values[i]) < 0))
      Py_CLEAR(report);
    Py_XDECREF(values[i]);
  }
  return report;
}

static PyObject *core_saliency(PyObject *module, PyObject *args) {
  int saliency;
  PyObject *weight_list, *gradient_list, *score_list;
  unsigned long long seed;
  arrays_t weights = {0}, gradients = {0}, scores = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "iOOOK:saliency", &saliency, &weight_list, &gradient_list,
                        &score_list, &seed))
    return NULL;
  if (!acquire(weight_list, 0, &weights) || !acquire(gradient_list, 0, &gradients) ||
      !acquire(score_list, 1, &scores))
    goto done;
  if (!same_length(&weights, &gradients) || !same_length(&weights, &scores)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_saliency(saliency, weights.arrays, gradients.arrays, scores.arrays, weights.count,
                       seed, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release(&weights);
  release(&gradients);
  release(&scores);
  return result;
}

static PyObject *core_select(PyObject *module, PyObject *args) {
  PyObject *score_list, *mask_list;
  long long keep;
  arrays_t scores = {0}, masks = {0};
  sf_report report;
  sf_error error;
  int32_t status;
  int64_t *layer_kept = NULL;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOL:select", &score_list, &mask_list, &keep)) return NULL;
  if (!acquire(score_list, 0, &scores) || !acquire(mask_list, 1, &masks)) goto done;
  if (!same_length(&scores, &masks)) goto done;
  layer_kept = PyMem_Calloc((size_t)scores.count + 1, sizeof(int64_t));
  if (!layer_kept) {
    PyErr_NoMemory();
    goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_select(scores.arrays, masks.arrays, scores.count, keep, &report, layer_kept, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = outcome(module, &report, layer_kept, scores.count);
done:
  PyMem_Free(layer_kept);
  release(&scores);
  release(&masks);
  return result;
}

static PyObject *core_read(PyObject *module, PyObject *args) {
  PyObject *list;
  arrays_t arrays = {0};
  uint64_t parity;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O:read", &list)) return NULL;
  if (!acquire(list, 0, &arrays)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_read(arrays.arrays, arrays.count, &parity, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = PyLong_FromUnsignedLongLong(parity);
done:
  release(&arrays);
  return result;
}

/* ----------------------------------------------------------------------------------- handles */

static const char search_name[] = "swiftforce.search";
static const char network_name[] = "swiftforce.network";

static void free_search(PyObject *capsule) {
  sf_search_release((int64_t)(intptr_t)PyCapsule_GetPointer(capsule, search_name), NULL);
}

static void free_network(PyObject *capsule) {
  sf_network_release((int64_t)(intptr_t)PyCapsule_GetPointer(capsule, network_name), NULL);
}

/* The handle inside a capsule; 0, which is no handle, where it is not one: an error is set. */
static int64_t handle_of(PyObject *capsule, const char *name) {
  return (int64_t)(intptr_t)PyCapsule_GetPointer(capsule, name);
}

/* ------------------------------------------------------------------------------------ search */

static PyObject *core_search_create(PyObject *module, PyObject *args) {
  PyObject *keep_list, *size_list;
  sf_search_options options = {0};
  long long keep, steps, total, taken;
  unsigned long long seed;
  int64_t handle, *sizes = NULL, *keeps = NULL;
  Py_ssize_t tensors = 0, listed = 0;
  sf_error error;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "iiLLOOKLL:search_create", &options.method, &options.schedule, &keep,
                        &steps, &keep_list, &size_list, &seed, &total, &taken))
    return NULL;
  sizes = integers(size_list, &tensors);
  if (!sizes) goto done;
  if (keep_list != Py_None) {
    keeps = integers(keep_list, &listed);
    if (!keeps) goto done;
    steps = listed;
  }
  options.keep = keep;
  options.steps = steps;
  options.keeps = keeps;
  options.seed = seed;
  options.total = total;
  options.taken = taken;
  if (!succeeded(module, sf_search_create(&options, sizes, tensors, &handle, &error), &error))
    goto done;
  result = PyCapsule_New((void *)(intptr_t)handle, search_name, free_search);
  if (!result) sf_search_release(handle, NULL);
done:
  PyMem_Free(sizes);
  PyMem_Free(keeps);
  return result;
}

/* The way to the other ranks: a Python function, which adds up the numbers of a bytearray, and what it
 * raised. */
typedef struct {
  PyObject *sum;
  PyThreadState *state; /* of the thread that takes the step, while it does without the GIL */
  PyObject *type, *value, *trace;
} exchange_t;

/* Replaces numbers by their sums over all ranks. The function gets a copy: what it may keep of it does
 * not dangle. */
static int32_t exchange_sum(void *context, int64_t *values, int64_t count) {
  exchange_t *exchange = context;
  Py_ssize_t bytes = (Py_ssize_t)(count * (int64_t)sizeof(int64_t));
  PyEval_RestoreThread(exchange->state);
  PyObject *copy = PyByteArray_FromStringAndSize((const char *)values, bytes);
  PyObject *returned = copy ? PyObject_CallFunctionObjArgs(exchange->sum, copy, NULL) : NULL;
  if (returned && PyByteArray_Size(copy) != bytes)
    PyErr_SetString(PyExc_ValueError, "sums over all ranks have another length");
  else if (returned)
    memcpy(values, PyByteArray_AsString(copy), (size_t)bytes);
  int failed = PyErr_Occurred() != NULL;
  if (failed) PyErr_Fetch(&exchange->type, &exchange->value, &exchange->trace);
  Py_XDECREF(returned);
  Py_XDECREF(copy);
  exchange->state = PyEval_SaveThread();
  return failed;
}

static PyObject *core_search_step(PyObject *module, PyObject *args) {
  PyObject *capsule, *weight_list, *gradient_list, *previous_list, *mask_list, *masked_list;
  PyObject *start_list;
  exchange_t exchange = {0};
  int64_t *starts = NULL;
  Py_ssize_t started = 0;
  arrays_t weights = {0}, gradients = {0}, previous = {0}, masks = {0}, masked = {0};
  sf_report report;
  sf_error error;
  int32_t status;
  int64_t *layer_kept = NULL;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOOOOOO:search_step", &capsule, &weight_list, &gradient_list,
                        &previous_list, &mask_list, &masked_list, &exchange.sum, &start_list))
    return NULL;
  int64_t handle = handle_of(capsule, search_name);
  if (!handle) return NULL;
  if (!acquire(weight_list, 0, &weights) || !acquire(gradient_list, 0, &gradients) ||
      !acquire(previous_list, 0, &previous) || !acquire(mask_list, 1, &masks) ||
      !acquire(masked_list, 1, &masked))
    goto done;
  if (!same_length(&weights, &gradients) || !same_length(&weights, &previous) ||
      !same_length(&weights, &masks) || !same_length(&weights, &masked))
    goto done;
  layer_kept = PyMem_Calloc((size_t)weights.count + 1, sizeof(int64_t));
  if (!layer_kept) {
    PyErr_NoMemory();
    goto done;
  }
  starts = start_list == Py_None ? NULL : integers(start_list, &started);
  if (start_list != Py_None && !starts) goto done;
  if (starts && started != weights.count) {
    PyErr_SetString(PyExc_ValueError, "starts and weights differ in length");
    goto done;
  }
  sf_step_arrays arrays = {weights.arrays, gradients.arrays, previous.arrays,
                           masks.arrays,   masked.arrays,    weights.count};
  sf_ranks ranks = {exchange_sum, &exchange, starts};
  exchange.state = PyEval_SaveThread();
  status = starts ? sf_search_step_shared(handle, &arrays, &ranks, &report, layer_kept, &error)
                  : sf_search_step(handle, &arrays, &report, layer_kept, &error);
  PyEval_RestoreThread(exchange.state);
  if (exchange.type) {
    PyErr_Restore(exchange.type, exchange.value, exchange.trace);
    goto done;
  }
  if (succeeded(module, status, &error)) result = outcome(module, &report, layer_kept, weights.count);
done:
  PyMem_Free(starts);
  PyMem_Free(layer_kept);
  release(&weights);
  release(&gradients);
  release(&previous);
  release(&masks);
  release(&masked);
  return result;
}

static PyObject *core_search_taken(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t taken, steps;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, "O:search_taken", &capsule)) return NULL;
  int64_t handle = handle_of(capsule, search_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_search_state(handle, &taken, &steps, NULL, &error);
  Py_END_ALLOW_THREADS
  if (!succeeded(module, status, &error)) return NULL;
  return PyLong_FromLongLong(taken);
}

static PyObject *core_search_report(PyObject *module, PyObject *args) {
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
    PyErr_SetString(PyExc_ValueError, "tensors must be a number of tensors");
    return NULL;
  }
  int64_t handle = handle_of(capsule, search_name);
  if (!handle) return NULL;
  layer_kept = PyMem_Calloc((size_t)tensors + 1, sizeof(int64_t));
  if (!layer_kept) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_search_report(handle, step, &report, layer_kept, tensors, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = outcome(module, &report, layer_kept, tensors);
  PyMem_Free(layer_kept);
  return result;
}

/* ----------------------------------------------------------------------------------- network */

/* A stretch of a network's memory as a buffer. It keeps the network alive. */
typedef struct {
  PyObject_HEAD
  PyObject *owner;
  void *data;
  Py_ssize_t bytes;
} view_object;

static int view_buffer(PyObject *self, Py_buffer *buffer, int flags) {
  view_object *view = (view_object *)self;
  return PyBuffer_FillInfo(buffer, self, view->data, view->bytes, 0, flags);
}

static void view_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  freefunc release_memory = (freefunc)PyType_GetSlot(type, Py_tp_free);
  Py_XDECREF(((view_object *)self)->owner);
  release_memory(self);
  Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
    {Py_bf_getbuffer, view_buffer},
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_doc, "Memory of a network, which lives as long as this does."},
    {0, NULL},
};

static PyType_Spec view_spec = {
    .name = "swiftforce._core.View",
    .basicsize = sizeof(view_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};

static PyObject *new_view(PyObject *module, PyObject *owner, void *data, Py_ssize_t bytes) {
  PyTypeObject *type = (PyTypeObject *)state_of(module)->view_type;
  allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
  view_object *view = (view_object *)allocate(type, 0);
  if (!view) return NULL;
  view->owner = Py_NewRef(owner);
  view->data = data;
  view->bytes = bytes;
  return (PyObject *)view;
}

/* The fields of a layer, in the order of sf_layer. */
static int parse_layer(PyObject *item, sf_layer *layer) {
  long long inputs, outputs, kernel, stride, padding, groups;
  if (!PyTuple_Check(item)) {
    PyErr_SetString(PyExc_TypeError, "a layer must be a tuple");
    return 0;
  }
  if (!PyArg_ParseTuple(item, "iiipLLLLLLdd:layer", &layer->kind, &layer->source, &layer->addend,
                        &layer->has_bias, &inputs, &outputs, &kernel, &stride, &padding, &groups,
                        &layer->momentum, &layer->epsilon))
    return 0;
  layer->inputs = inputs;
  layer->outputs = outputs;
  layer->kernel = kernel;
  layer->stride = stride;
  layer->padding = padding;
  layer->groups = groups;
  return 1;
}

static PyObject *core_network_create(PyObject *module, PyObject *args) {
  PyObject *list, *shape;
  unsigned long long seed;
  int64_t handle, extents[3] = {0};
  sf_error error;
  sf_layer *layers = NULL;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOK:network_create", &list, &shape, &seed)) return NULL;
  Py_ssize_t rank = shape == Py_None ? 0 : PySequence_Size(shape);
  if (rank < 0) return NULL;
  for (Py_ssize_t i = 0; i < rank && i < COUNT(extents); i++) {
    PyObject *extent = PySequence_GetItem(shape, i);
    extents[i] = extent ? PyLong_AsLongLong(extent) : -1;
    Py_XDECREF(extent);
    if (PyErr_Occurred()) return NULL;
  }
  Py_ssize_t count = PySequence_Size(list);
  if (count < 0) return NULL;
  layers = PyMem_Calloc((size_t)count + 1, sizeof(sf_layer));
  if (!layers) return PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *item = PySequence_GetItem(list, i);
    int fine = item && parse_layer(item, &layers[i]);
    Py_XDECREF(item);
    if (!fine) goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_create(layers, count, shape == Py_None ? NULL : extents, rank, seed, &handle,
                             &error);
  Py_END_ALLOW_THREADS
  if (!succeeded(module, status, &error)) goto done;
  result = PyCapsule_New((void *)(intptr_t)handle, network_name, free_network);
  if (!result) sf_network_release(handle, NULL);
done:
  PyMem_Free(layers);
  return result;
}

static PyObject *core_network_sizes(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t features = 0, classes = 0;
  sf_error error;
  if (!PyArg_ParseTuple(args, "O:network_sizes", &capsule)) return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  int32_t status = sf_network_sizes(handle, &features, &classes, &error);
  if (!succeeded(module, status, &error)) return NULL;
  return Py_BuildValue("(LL)", (long long)features, (long long)classes);
}

/* One parameter as (view, layer, role, shape). */
static PyObject *parameter_tuple(PyObject *module, PyObject *owner, const sf_parameter *p) {
  int64_t count = 1;
  for (int32_t i = 0; i < p->rank; i++) count *= p->shape[i];
  PyObject *view = new_view(module, owner, p->data, (Py_ssize_t)(count * (int64_t)sizeof(float)));
  PyObject *shape = view ? integer_tuple(p->shape, p->rank) : NULL;
  if (!shape) {
    Py_XDECREF(view);
    return NULL;
  }
  return Py_BuildValue("(NLiN)", view, (long long)p->layer, (int)p->role, shape);
}

static PyObject *core_network_parameters(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t count = 0;
  sf_error error;
  sf_parameter *parameters = NULL;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O:network_parameters", &capsule)) return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_parameters(handle, NULL, 0, &count, &error);
  Py_END_ALLOW_THREADS
  if (!succeeded(module, status, &error)) return NULL;
  parameters = PyMem_Calloc((size_t)count + 1, sizeof(sf_parameter));
  if (!parameters) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_parameters(handle, parameters, count, &count, &error);
  Py_END_ALLOW_THREADS
  if (!succeeded(module, status, &error)) goto done;
  result = PyTuple_New((Py_ssize_t)count);
  for (int64_t i = 0; result && i < count; i++) {
    PyObject *item = parameter_tuple(module, capsule, &parameters[i]);
    if (!item || PyTuple_SetItem(result, (Py_ssize_t)i, item) < 0) Py_CLEAR(result);
  }
done:
  PyMem_Free(parameters);
  return result;
}

static PyObject *core_network_apply(PyObject *module, PyObject *args) {
  PyObject *capsule, *mask_list;
  arrays_t masks = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OO:network_apply", &capsule, &mask_list)) return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire(mask_list, 0, &masks)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_apply(handle, masks.arrays, masks.count, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release(&masks);
  return result;
}

static PyObject *core_network_reset(PyObject *module, PyObject *args) {
  PyObject *capsule;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, "O:network_reset", &capsule)) return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_reset(handle, &error);
  Py_END_ALLOW_THREADS
  if (!succeeded(module, status, &error)) return NULL;
  return Py_NewRef(Py_None);
}

/* A batch and the buffers that it points into. Zeroed is empty. */
typedef struct {
  sf_batch batch;
  Py_buffer inputs, labels, rows;
} batch_t;

static int integer_buffer(PyObject *object, const char *name, Py_buffer *view, sf_array *array) {
  if (!acquire_one(object, 0, view, array)) return 0;
  if (array->type == SF_TYPE_INT64) return 1;
  PyErr_Format(PyExc_TypeError, "%s must hold int64", name);
  return 0;
}

/* A batch from a two-dimensional float32 array, int64 labels or None, and int64 rows or None. */
static int acquire_batch(PyObject *inputs, PyObject *labels, PyObject *rows, batch_t *held) {
  sf_array array = {0};
  if (!acquire_one(inputs, 0, &held->inputs, &array)) return 0;
  if (held->inputs.ndim != 2 || array.type != SF_TYPE_FLOAT32) {
    PyErr_SetString(PyExc_TypeError, "inputs must be a two-dimensional float32 array");
    return 0;
  }
  held->batch.inputs = array.data;
  held->batch.samples = held->batch.count = held->inputs.shape[0];
  held->batch.features = held->inputs.shape[1];
  if (labels != Py_None) {
    if (!integer_buffer(labels, "labels", &held->labels, &array)) return 0;
    if (array.count != held->batch.samples) {
      PyErr_SetString(PyExc_ValueError, "inputs and labels differ in length");
      return 0;
    }
    held->batch.labels = array.data;
  }
  if (rows != Py_None) {
    if (!integer_buffer(rows, "rows", &held->rows, &array)) return 0;
    held->batch.rows = array.data;
    held->batch.count = array.count;
  }
  return 1;
}

static void release_batch(batch_t *held) {
  PyBuffer_Release(&held->inputs);
  PyBuffer_Release(&held->labels);
  PyBuffer_Release(&held->rows);
}

static PyObject *batch_outcome(const sf_batch_result *result) {
  return Py_BuildValue("(dL)", result->loss, (long long)result->correct);
}

static PyObject *core_network_gradients(PyObject *module, PyObject *args) {
  PyObject *capsule, *weight_list, *gradient_list, *inputs, *labels, *rows;
  arrays_t weights = {0}, gradients = {0};
  batch_t held = {0};
  sf_batch_result outcome;
  sf_error error;
  int32_t status;
  long long together;
  int running;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOOOOLp:network_gradients", &capsule, &weight_list, &gradient_list,
                        &inputs, &labels, &rows, &together, &running))
    return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire(weight_list, 0, &weights) || !acquire(gradient_list, 1, &gradients) ||
      !acquire_batch(inputs, labels, rows, &held))
    goto done;
  if (!same_length(&gradients, &weights)) goto done;
  held.batch.together = together;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_gradients(handle, weights.arrays, gradients.arrays, gradients.count,
                                &held.batch, running, &outcome, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = batch_outcome(&outcome);
done:
  release(&weights);
  release(&gradients);
  release_batch(&held);
  return result;
}

static PyObject *core_network_train(PyObject *module, PyObject *args) {
  PyObject *capsule, *inputs, *labels, *rows;
  sf_sgd sgd;
  batch_t held = {0};
  sf_batch_result outcome;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOOddd:network_train", &capsule, &inputs, &labels, &rows,
                        &sgd.learning_rate, &sgd.momentum, &sgd.weight_decay))
    return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_batch(inputs, labels, rows, &held)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_train(handle, &held.batch, &sgd, &outcome, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = batch_outcome(&outcome);
done:
  release_batch(&held);
  return result;
}

static PyObject *core_network_evaluate(PyObject *module, PyObject *args) {
  PyObject *capsule, *inputs, *labels, *rows;
  batch_t held = {0};
  sf_batch_result outcome;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOO:network_evaluate", &capsule, &inputs, &labels, &rows))
    return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_batch(inputs, labels, rows, &held)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_evaluate(handle, &held.batch, &outcome, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = batch_outcome(&outcome);
done:
  release_batch(&held);
  return result;
}

static PyObject *core_network_forward(PyObject *module, PyObject *args) {
  PyObject *capsule, *inputs, *logits;
  batch_t held = {0};
  Py_buffer view = {0};
  sf_array array = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOO:network_forward", &capsule, &inputs, &logits)) return NULL;
  int64_t handle = handle_of(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_batch(inputs, Py_None, Py_None, &held) || !acquire_one(logits, 1, &view, &array))
    goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_forward(handle, &held.batch, &array, &error);
  Py_END_ALLOW_THREADS
  if (succeeded(module, status, &error)) result = Py_NewRef(Py_None);
done:
  PyBuffer_Release(&view);
  release_batch(&held);
  return result;
}

/* ------------------------------------------------------------------------------------ module */

static PyMethodDef methods[] = {
    {"names", core_names, METH_VARARGS, "names(axis) -> the names of one axis, in order."},
    {"cpu_levels", core_cpu_levels, METH_NOARGS,
     "cpu_levels() -> the CPU level in use, and the others that this machine has."},
    {"threads", core_threads, METH_NOARGS, "threads() -> how many threads a call may use."},
    {"set_threads", core_set_threads, METH_VARARGS, "set_threads(threads)"},
    {"saliency_reads", core_saliency_reads, METH_VARARGS,
     "saliency_reads(number) -> (whether weights are read, whether gradients are)."},
    {"method", core_method, METH_VARARGS, "method(number) -> its row of the table of methods."},
    {"keep_count", core_keep_count, METH_VARARGS, "keep_count(n, sparsity) -> weights to keep."},
    {"schedule", core_schedule, METH_VARARGS, "schedule(kind, n, keep, steps) -> kept per step."},
    {"addresses", core_addresses, METH_O,
     "addresses(arrays) -> where each contiguous array begins."},
    {"permutation", core_permutation, METH_VARARGS, "permutation(order, seed, stream): fills order."},
    {"saliency", core_saliency, METH_VARARGS,
     "saliency(kind, weights, gradients, scores, seed): fills scores."},
    {"select", core_select, METH_VARARGS, "select(scores, masks, keep) -> report; fills masks."},
    {"read", core_read, METH_VARARGS,
     "read(arrays) -> exclusive or of their 64-bit words; for benchmarks."},
    {"search_create", core_search_create, METH_VARARGS,
     "search_create(method, schedule, keep, steps, keeps, sizes, seed, total, taken) -> search."},
    {"search_step", core_search_step, METH_VARARGS,
     "search_step(search, weights, gradients, previous, masks, masked, sum, starts) -> report; fills"
     " masks, masked. sum(bytearray) adds up int64 over all ranks, in place; starts None: no ranks."},
    {"search_taken", core_search_taken, METH_VARARGS, "search_taken(search) -> steps taken."},
    {"search_report", core_search_report, METH_VARARGS,
     "search_report(search, step, tensors) -> report of a step that was taken."},
    {"network_create", core_network_create, METH_VARARGS,
     "network_create([(kind, source, addend, bias, inputs, outputs, kernel, stride, padding, groups,"
     " momentum, epsilon)], input_shape, seed) -> network."},
    {"network_sizes", core_network_sizes, METH_VARARGS,
     "network_sizes(network) -> (features, classes)."},
    {"network_parameters", core_network_parameters, METH_VARARGS,
     "network_parameters(network) -> ((view, layer, role, shape), ...)."},
    {"network_apply", core_network_apply, METH_VARARGS,
     "network_apply(network, masks): removes weights; None lifts the masks."},
    {"network_reset", core_network_reset, METH_VARARGS,
     "network_reset(network): forgets the momentum."},
    {"network_gradients", core_network_gradients, METH_VARARGS,
     "network_gradients(network, weights, gradients, inputs, labels, rows, together, running)"
     " -> (loss, correct)."},
    {"network_train", core_network_train, METH_VARARGS,
     "network_train(network, inputs, labels, rows, learning_rate, momentum, weight_decay)"
     " -> (loss, correct)."},
    {"network_evaluate", core_network_evaluate, METH_VARARGS,
     "network_evaluate(network, inputs, labels, rows) -> (loss, correct)."},
    {"network_forward", core_network_forward, METH_VARARGS,
     "network_forward(network, inputs, logits): fills logits."},
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

/* Adds a tuple of strings to the module: position is number. */
static int add_names(PyObject *module, const char *attribute, const char *const *names,
                     Py_ssize_t count) {
  PyObject *tuple = names_tuple(names, count);
  int added = tuple ? PyModule_AddObjectRef(module, attribute, tuple) : -1;
  Py_XDECREF(tuple);
  return added;
}

static int core_exec(PyObject *module) {
  core_state *state = state_of(module);
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
  state->report_names = names_tuple(report_names, COUNT(report_names));
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
    .m_size = sizeof(core_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
