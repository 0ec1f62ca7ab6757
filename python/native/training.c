/* The calls of a network that take a batch: gradients, training steps, evaluation, outputs. What
 * must not live here: networks themselves (network.c). */
#include "shim.h"

/* A batch and the buffers that it points into. All zeros means none. */
typedef struct {
  sf_batch batch;
  Py_buffer inputs, labels, rows;
} held_batch;

/* Acquires an array of int64. Returns 1, or 0 with an exception set. */
static int acquire_integers(PyObject *object, const char *name, Py_buffer *view, sf_array *array) {
  if (!acquire_array(object, 0, view, array)) return 0;
  if (array->type == SF_TYPE_INT64) return 1;
  PyErr_Format(PyExc_TypeError, "%s must hold int64", name);
  return 0;
}

/* Fills a batch from a two-dimensional float32 array, int64 labels or None, and int64 rows or None.
 * Returns 1, or 0 with an exception set; either way release_batch is needed. */
static int acquire_batch(PyObject *inputs, PyObject *labels, PyObject *rows, held_batch *held) {
  sf_array array = {0};
  if (!acquire_array(inputs, 0, &held->inputs, &array)) return 0;
  if (held->inputs.ndim != 2 || array.type != SF_TYPE_FLOAT32) {
    PyErr_SetString(PyExc_TypeError, "inputs must be a two-dimensional float32 array");
    return 0;
  }
  held->batch.inputs = array.data;
  held->batch.samples = held->batch.count = held->inputs.shape[0];
  held->batch.features = held->inputs.shape[1];
  if (labels != Py_None) {
    if (!acquire_integers(labels, "labels", &held->labels, &array)) return 0;
    if (array.count != held->batch.samples) {
      PyErr_SetString(PyExc_ValueError, "inputs and labels differ in length");
      return 0;
    }
    held->batch.labels = array.data;
  }
  if (rows != Py_None) {
    if (!acquire_integers(rows, "rows", &held->rows, &array)) return 0;
    held->batch.rows = array.data;
    held->batch.count = array.count;
  }
  return 1;
}

static void release_batch(held_batch *held) {
  PyBuffer_Release(&held->inputs);
  PyBuffer_Release(&held->labels);
  PyBuffer_Release(&held->rows);
}

static PyObject *batch_result_tuple(const sf_batch_result *result) {
  return Py_BuildValue("(dL)", result->loss, (long long)result->correct);
}

PyObject *core_network_gradients(PyObject *module, PyObject *args) {
  PyObject *capsule, *weight_list, *gradient_list, *inputs, *labels, *rows;
  held_arrays weights = {0}, gradients = {0};
  held_batch held = {0};
  sf_batch_result batch_result;
  sf_error error;
  int32_t status;
  long long together;
  int running, of_zeros, loss;
  double temperature;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOOOOLppid:network_gradients", &capsule, &weight_list,
                        &gradient_list, &inputs, &labels, &rows, &together, &running, &of_zeros,
                        &loss, &temperature))
    return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_arrays(weight_list, 0, &weights) || !acquire_arrays(gradient_list, 1, &gradients) ||
      !acquire_batch(inputs, labels, rows, &held))
    goto done;
  if (!same_length(&gradients, &weights)) goto done;
  held.batch.together = together;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_gradients(handle, weights.arrays, gradients.arrays, gradients.count,
                                &held.batch, running, of_zeros, loss, temperature, &batch_result,
                                &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = batch_result_tuple(&batch_result);
done:
  release_arrays(&weights);
  release_arrays(&gradients);
  release_batch(&held);
  return result;
}

PyObject *core_network_train(PyObject *module, PyObject *args) {
  PyObject *capsule, *inputs, *labels, *rows;
  sf_sgd sgd;
  held_batch held = {0};
  sf_batch_result batch_result;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOOddd:network_train", &capsule, &inputs, &labels, &rows,
                        &sgd.learning_rate, &sgd.momentum, &sgd.weight_decay))
    return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_batch(inputs, labels, rows, &held)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_train(handle, &held.batch, &sgd, &batch_result, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = batch_result_tuple(&batch_result);
done:
  release_batch(&held);
  return result;
}

PyObject *core_network_evaluate(PyObject *module, PyObject *args) {
  PyObject *capsule, *inputs, *labels, *rows;
  held_batch held = {0};
  sf_batch_result batch_result;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOOO:network_evaluate", &capsule, &inputs, &labels, &rows))
    return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_batch(inputs, labels, rows, &held)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_evaluate(handle, &held.batch, &batch_result, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = batch_result_tuple(&batch_result);
done:
  release_batch(&held);
  return result;
}

PyObject *core_network_forward(PyObject *module, PyObject *args) {
  PyObject *capsule, *inputs, *logits;
  held_batch held = {0};
  Py_buffer view = {0};
  sf_array array = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOO:network_forward", &capsule, &inputs, &logits)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_batch(inputs, Py_None, Py_None, &held) || !acquire_array(logits, 1, &view, &array))
    goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_forward(handle, &held.batch, &array, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  PyBuffer_Release(&view);
  release_batch(&held);
  return result;
}
