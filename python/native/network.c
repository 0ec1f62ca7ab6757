/* A network: its creation, parameters and masks. What must not live here: what changes or shows its
 * state (network_state.c), and calls that take a batch (training.c). */
#include "shim.h"

const char network_name[] = "swiftforce.network";

static void free_network(PyObject *capsule) {
  sf_network_release((int64_t)(intptr_t)PyCapsule_GetPointer(capsule, network_name), NULL);
}

int parse_layer(PyObject *item, sf_layer *layer) {
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

PyObject *core_network_create(PyObject *module, PyObject *args) {
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
    int parsed = item && parse_layer(item, &layers[i]);
    Py_XDECREF(item);
    if (!parsed) goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_create(layers, count, shape == Py_None ? NULL : extents, rank, seed, &handle,
                             &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) goto done;
  result = PyCapsule_New((void *)(intptr_t)handle, network_name, free_network);
  if (!result) sf_network_release(handle, NULL);
done:
  PyMem_Free(layers);
  return result;
}

PyObject *core_network_sizes(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t features = 0, classes = 0;
  sf_error error;
  if (!PyArg_ParseTuple(args, "O:network_sizes", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  int32_t status = sf_network_sizes(handle, &features, &classes, &error);
  if (!check_status(module, status, &error)) return NULL;
  return Py_BuildValue("(LL)", (long long)features, (long long)classes);
}

int count_parameters(PyObject *module, int64_t handle, int64_t *count) {
  sf_error error;
  int32_t status;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_parameters(handle, NULL, 0, count, &error);
  Py_END_ALLOW_THREADS
  return check_status(module, status, &error);
}

PyObject *core_network_parameters(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t count = 0;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O:network_parameters", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!count_parameters(module, handle, &count)) return NULL;
  sf_parameter *parameters = PyMem_Calloc((size_t)count + 1, sizeof(sf_parameter));
  if (!parameters) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_parameters(handle, parameters, count, &count, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) goto done;
  result = PyTuple_New((Py_ssize_t)count);
  for (int64_t i = 0; result && i < count; i++) {
    const sf_parameter *p = &parameters[i];
    PyObject *shape = integer_tuple(p->shape, p->rank);
    PyObject *item =
        shape ? Py_BuildValue("(LiN)", (long long)p->layer, (int)p->role, shape) : NULL;
    if (!item || PyTuple_SetItem(result, (Py_ssize_t)i, item) < 0) Py_CLEAR(result);
  }
done:
  PyMem_Free(parameters);
  return result;
}

PyObject *core_network_apply(PyObject *module, PyObject *args) {
  PyObject *capsule, *mask_list;
  held_arrays masks = {0};
  sf_error error;
  int32_t status;
  int sparse;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOp:network_apply", &capsule, &mask_list, &sparse)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_arrays(mask_list, 0, &masks)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_apply(handle, masks.arrays, masks.count, sparse, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release_arrays(&masks);
  return result;
}

PyObject *core_network_plan(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t count = 0;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O:network_plan", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_plan(handle, NULL, 0, &count, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) return NULL;
  sf_weight_plan *plans = PyMem_Calloc((size_t)count + 1, sizeof(sf_weight_plan));
  if (!plans) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_plan(handle, plans, count, &count, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) goto done;
  result = PyTuple_New((Py_ssize_t)count);
  for (int64_t i = 0; result && i < count; i++) {
    PyObject *item = Py_BuildValue("(LNiL)", (long long)plans[i].kept,
                                   PyBool_FromLong(plans[i].is_sparse), (int)plans[i].limit,
                                   (long long)plans[i].multiply_adds);
    if (!item || PyTuple_SetItem(result, (Py_ssize_t)i, item) < 0) Py_CLEAR(result);
  }
done:
  PyMem_Free(plans);
  return result;
}
