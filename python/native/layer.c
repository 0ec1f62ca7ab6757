/* A dense layer by itself. What must not live here: layers over kept weights (sparse.c). */
#include "shim.h"

/* The arguments of a pass, and the buffers that they point into. All zeros means none. */
typedef struct {
  sf_layer layer;
  sf_layer_operation operation;
  sf_layer_arrays arrays;
  Py_buffer views[5];
  sf_array single[5];
  held_arrays parameters, gradients;
} held_layer;

/* Acquires one array, unless it is None. Returns 1, or 0 with an exception set. */
static int acquire(held_layer *held, int place, PyObject *object, int writable,
                   const sf_array **array) {
  if (object == Py_None) return 1;
  if (!acquire_array(object, writable, &held->views[place], &held->single[place])) return 0;
  *array = &held->single[place];
  return 1;
}

/* Acquires what both passes have. Returns 1, or 0 with an exception set. */
static int acquire_pass(held_layer *held, int is_forward, PyObject *layer, PyObject *source,
                        PyObject *parameters, PyObject *output, PyObject *saved) {
  if (!parse_layer(layer, &held->layer)) return 0;
  held->operation.layer = &held->layer;
  if (!acquire(held, 0, source, 0, &held->arrays.source) ||
      !acquire(held, 1, output, is_forward, &held->arrays.output) ||
      !acquire(held, 2, saved, is_forward, &held->arrays.saved) ||
      !acquire_arrays(parameters, is_forward, &held->parameters))
    return 0;
  held->arrays.parameters = held->parameters.arrays;
  held->arrays.parameter_count = held->parameters.count;
  return 1;
}

static void release_pass(held_layer *held) {
  for (Py_ssize_t i = 0; i < COUNT(held->views); i++) PyBuffer_Release(&held->views[i]);
  release_arrays(&held->parameters);
  release_arrays(&held->gradients);
}

PyObject *core_layer_forward(PyObject *module, PyObject *args) {
  PyObject *layer, *source, *parameters, *output, *saved;
  held_layer held = {0};
  sf_error error;
  int32_t status;
  long long shape[3], samples;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O(LLL)LOOOO:layer_forward", &layer, &shape[0], &shape[1],
                        &shape[2], &samples, &source, &parameters, &output, &saved))
    return NULL;
  for (int i = 0; i < 3; i++) held.operation.shape[i] = shape[i];
  held.operation.samples = samples;
  if (!acquire_pass(&held, 1, layer, source, parameters, output, saved)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_layer_forward(&held.operation, &held.arrays, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release_pass(&held);
  return result;
}

PyObject *core_layer_backward(PyObject *module, PyObject *args) {
  PyObject *layer, *source, *parameters, *output, *saved, *output_gradient, *source_gradient, *own;
  held_layer held = {0};
  sf_error error;
  int32_t status;
  long long shape[3], samples;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O(LLL)LOOOOOOO:layer_backward", &layer, &shape[0], &shape[1],
                        &shape[2], &samples, &source, &parameters, &output, &saved,
                        &output_gradient, &source_gradient, &own))
    return NULL;
  for (int i = 0; i < 3; i++) held.operation.shape[i] = shape[i];
  held.operation.samples = samples;
  if (!acquire_pass(&held, 0, layer, source, parameters, output, saved) ||
      !acquire(&held, 3, output_gradient, 0, &held.arrays.output_gradient) ||
      !acquire(&held, 4, source_gradient, 1, &held.arrays.source_gradient) ||
      !acquire_arrays(own, 1, &held.gradients))
    goto done;
  held.arrays.parameter_gradients = held.gradients.arrays;
  held.arrays.gradient_count = held.gradients.count;
  Py_BEGIN_ALLOW_THREADS
  status = sf_layer_backward(&held.operation, &held.arrays, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release_pass(&held);
  return result;
}
