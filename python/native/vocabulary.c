/* The names, tables and arithmetic of the method: axes, CPU levels, threads, methods, schedules,
 * permutations; and the floating-point registers. What must not live here: anything that reads
 * weights. */
#include "shim.h"

PyObject *core_names(PyObject *module, PyObject *args) {
  int axis;
  char text[4096];
  sf_error error;
  if (!PyArg_ParseTuple(args, "i:names", &axis)) return NULL;
  if (!check_status(module, sf_names(axis, text, sizeof text, &error), &error)) return NULL;
  return tuple_from_lines(text);
}

PyObject *core_cpu_levels(PyObject *module, PyObject *Py_UNUSED(args)) {
  char text[1024];
  sf_error error;
  if (!check_status(module, sf_cpu_levels(text, sizeof text, &error), &error)) return NULL;
  return tuple_from_lines(text);
}

PyObject *core_threads(PyObject *module, PyObject *Py_UNUSED(args)) {
  int64_t threads;
  sf_error error;
  if (!check_status(module, sf_threads(&threads, &error), &error)) return NULL;
  return PyLong_FromLongLong(threads);
}

/* A function to call, and what it returned. */
typedef struct {
  PyObject *function, *returned;
} function_call;

static void make_call(void *context) {
  function_call *call = context;
  call->returned = PyObject_CallNoArgs(call->function);
}

PyObject *core_ieee(PyObject *module, PyObject *function) {
  function_call call = {function, NULL};
  sf_error error;
  if (!check_status(module, sf_ieee(make_call, &call, &error), &error)) return NULL;
  return call.returned;
}

PyObject *core_set_threads(PyObject *module, PyObject *args) {
  long long threads;
  sf_error error;
  if (!PyArg_ParseTuple(args, "L:set_threads", &threads)) return NULL;
  if (!check_status(module, sf_set_threads(threads, &error), &error)) return NULL;
  return Py_NewRef(Py_None);
}

PyObject *core_saliency_reads(PyObject *module, PyObject *args) {
  int saliency;
  sf_saliency_info info;
  sf_error error;
  if (!PyArg_ParseTuple(args, "i:saliency_reads", &saliency)) return NULL;
  if (!check_status(module, sf_saliency_reads(saliency, &info, &error), &error)) return NULL;
  return Py_BuildValue("(NN)", PyBool_FromLong(info.reads_weights),
                       PyBool_FromLong(info.reads_gradients));
}

PyObject *core_method(PyObject *module, PyObject *args) {
  int method;
  sf_method_info info;
  sf_error error;
  if (!PyArg_ParseTuple(args, "i:method", &method)) return NULL;
  if (!check_status(module, sf_method(method, &info, &error), &error)) return NULL;
  return Py_BuildValue("{s:i,s:i,s:N,s:N}", "saliency", info.saliency, "rule", info.rule,
                       "one_shot", PyBool_FromLong(info.one_shot), "needs_gradients",
                       PyBool_FromLong(info.needs_gradients));
}

PyObject *core_keep_count(PyObject *module, PyObject *args) {
  long long n;
  double sparsity;
  int64_t keep;
  sf_error error;
  if (!PyArg_ParseTuple(args, "Ld:keep_count", &n, &sparsity)) return NULL;
  if (!check_status(module, sf_keep_count(n, sparsity, &keep, &error), &error)) return NULL;
  return PyLong_FromLongLong(keep);
}

PyObject *core_schedule(PyObject *module, PyObject *args) {
  int schedule;
  long long n, keep, steps;
  sf_error error;
  if (!PyArg_ParseTuple(args, "iLLL:schedule", &schedule, &n, &keep, &steps)) return NULL;
  size_t capacity = steps > 0 && steps <= (1 << 24) ? (size_t)steps : 1;
  int64_t *keeps = PyMem_Calloc(capacity, sizeof(int64_t));
  if (!keeps) return PyErr_NoMemory();
  PyObject *result = NULL;
  if (check_status(module, sf_schedule(schedule, n, keep, steps, keeps, &error), &error))
    result = integer_tuple(keeps, (Py_ssize_t)steps);
  PyMem_Free(keeps);
  return result;
}

PyObject *core_permutation(PyObject *module, PyObject *args) {
  PyObject *order;
  unsigned long long seed, stream;
  Py_buffer view = {0};
  sf_array array = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OKK:permutation", &order, &seed, &stream)) return NULL;
  if (!acquire_array(order, 1, &view, &array)) return NULL;
  if (array.type != SF_TYPE_INT64) {
    PyErr_SetString(PyExc_TypeError, "order must hold int64");
    goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_permutation(array.count, seed, stream, array.data, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  PyBuffer_Release(&view);
  return result;
}
