/* A masked layer by itself. What must not live here: networks (network.c). */
#include "shim.h"

static const char operation_name[] = "swiftforce.sparse_operation";

static void free_operation(PyObject *capsule) {
  sf_sparse_release((int64_t)(intptr_t)PyCapsule_GetPointer(capsule, operation_name), NULL);
}

/* Reads (inputs, outputs, rows, columns), both axes as (inputs, kernel, stride, padding). Returns 1,
 * or 0 with an exception set. */
static int parse_sizes(PyObject *tuple, sf_sparse_sizes *sizes) {
  long long n[10];
  if (!PyTuple_Check(tuple)) {
    PyErr_SetString(PyExc_TypeError, "sizes must be a tuple");
    return 0;
  }
  if (!PyArg_ParseTuple(tuple, "LL(LLLL)(LLLL):sizes", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
                        &n[6], &n[7], &n[8], &n[9]))
    return 0;
  *sizes = (sf_sparse_sizes){n[0], n[1], {n[2], n[3], n[4], n[5]}, {n[6], n[7], n[8], n[9]}};
  return 1;
}

PyObject *core_sparse_limit(PyObject *module, PyObject *tuple) {
  sf_sparse_sizes sizes;
  int32_t limit = 0;
  sf_error error;
  if (!parse_sizes(tuple, &sizes)) return NULL;
  int32_t status = sf_sparse_limit(&sizes, &limit, &error);
  if (!check_status(module, status, &error)) return NULL;
  return PyLong_FromLong(limit);
}

PyObject *core_sparse_create(PyObject *module, PyObject *args) {
  PyObject *tuple, *mask;
  sf_sparse_sizes sizes;
  Py_buffer view = {0};
  sf_array array = {0};
  int64_t handle = 0;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OO:sparse_create", &tuple, &mask)) return NULL;
  if (!parse_sizes(tuple, &sizes)) return NULL;
  if (!acquire_array(mask, 0, &view, &array)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_sparse_create(&sizes, &array, &handle, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) goto done;
  result = PyCapsule_New((void *)(intptr_t)handle, operation_name, free_operation);
  if (!result) sf_sparse_release(handle, NULL);
done:
  PyBuffer_Release(&view);
  return result;
}

/* The arguments of a pass: those that are read, then those that are written. */
typedef struct {
  Py_buffer views[6];
  sf_array arrays[6];
} held_pass;

/* Acquires an argument unless it is None. Returns 1, or 0 with an exception set. */
static int acquire_argument(held_pass *held, int place, PyObject *object, int writable,
                            const sf_array **array) {
  *array = NULL;
  if (object == Py_None) return 1;
  if (!acquire_array(object, writable, &held->views[place], &held->arrays[place])) return 0;
  *array = &held->arrays[place];
  return 1;
}

static void release_pass(held_pass *held) {
  for (Py_ssize_t i = 0; i < COUNT(held->views); i++) PyBuffer_Release(&held->views[i]);
}

PyObject *core_sparse_forward(PyObject *module, PyObject *args) {
  PyObject *capsule, *source, *values, *bias, *output;
  long long samples;
  held_pass held = {0};
  sf_sparse_arrays arrays = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OLOOOO:sparse_forward", &capsule, &samples, &source, &values, &bias,
                        &output))
    return NULL;
  int64_t handle = handle_from(capsule, operation_name);
  if (!handle) return NULL;
  arrays.samples = samples;
  if (!acquire_argument(&held, 0, source, 0, &arrays.source) ||
      !acquire_argument(&held, 1, values, 0, &arrays.values) ||
      !acquire_argument(&held, 2, bias, 0, &arrays.bias) ||
      !acquire_argument(&held, 3, output, 1, &arrays.output))
    goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_sparse_forward(handle, &arrays, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release_pass(&held);
  return result;
}

PyObject *core_sparse_backward(PyObject *module, PyObject *args) {
  PyObject *capsule, *source, *values, *output, *gradients[3];
  long long samples;
  held_pass held = {0};
  sf_sparse_arrays arrays = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OLOOOOOO:sparse_backward", &capsule, &samples, &source, &values,
                        &output, &gradients[0], &gradients[1], &gradients[2]))
    return NULL;
  int64_t handle = handle_from(capsule, operation_name);
  if (!handle) return NULL;
  arrays.samples = samples;
  if (!acquire_argument(&held, 0, source, 0, &arrays.source) ||
      !acquire_argument(&held, 1, values, 0, &arrays.values) ||
      !acquire_argument(&held, 2, output, 0, &arrays.output))
    goto done;
  for (int i = 0; i < 3; i++)
    if (!acquire_argument(&held, 3 + i, gradients[i], 1, &arrays.gradients[i])) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_sparse_backward(handle, &arrays, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release_pass(&held);
  return result;
}
