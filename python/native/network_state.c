/* The state of a network: views of its parameters, their copy, momentum, the masks applied. What must
 * not live here: calls that take a batch (training.c). */
#include "shim.h"

/* A buffer over one parameter's memory. It keeps the network alive, and holds the parameter. */
typedef struct {
  PyObject_HEAD
  PyObject *owner;
  int64_t parameter;
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
  view_object *view = (view_object *)self;
  int64_t handle = view->owner ? handle_from(view->owner, network_name) : 0;
  if (handle) sf_network_end_hold(handle, view->parameter, NULL);
  Py_XDECREF(view->owner);
  release_memory(self);
  Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
    {Py_bf_getbuffer, view_buffer},
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_doc, "Memory of a network, which lives as long as this does."},
    {0, NULL},
};

PyType_Spec view_spec = {
    .name = "swiftforce._core.View",
    .basicsize = sizeof(view_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};

PyObject *core_network_view(PyObject *module, PyObject *args) {
  PyObject *capsule;
  long long number;
  sf_parameter parameter;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, "OL:network_view", &capsule, &number)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  PyTypeObject *type = (PyTypeObject *)state_of(module)->view_type;
  view_object *view = (view_object *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
  if (!view) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_hold(handle, number, &parameter, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) {
    Py_DECREF(view);
    return NULL;
  }
  view->owner = Py_NewRef(capsule);
  view->parameter = number;
  view->data = parameter.data;
  view->bytes = (Py_ssize_t)sizeof(float);
  for (int32_t i = 0; i < parameter.rank; i++) view->bytes *= (Py_ssize_t)parameter.shape[i];
  return (PyObject *)view;
}

/* Calls a function that takes a network and nothing else. */
static PyObject *call_network(PyObject *module, PyObject *args, const char *format,
                              int32_t (*function)(int64_t, sf_error *)) {
  PyObject *capsule;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, format, &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = function(handle, &error);
  Py_END_ALLOW_THREADS
  return check_status(module, status, &error) ? Py_NewRef(Py_None) : NULL;
}

PyObject *core_network_remember(PyObject *module, PyObject *args) {
  return call_network(module, args, "O:network_remember", sf_network_remember);
}

PyObject *core_network_restore(PyObject *module, PyObject *args) {
  return call_network(module, args, "O:network_restore", sf_network_restore);
}

PyObject *core_network_forget(PyObject *module, PyObject *args) {
  return call_network(module, args, "O:network_forget", sf_network_forget);
}

PyObject *core_network_reset(PyObject *module, PyObject *args) {
  return call_network(module, args, "O:network_reset", sf_network_reset);
}

PyObject *core_network_magnitudes(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t count = 0;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, "O:network_magnitudes", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!count_parameters(module, handle, &count)) return NULL;
  double *magnitudes = PyMem_Calloc((size_t)count + 1, sizeof(double));
  if (!magnitudes) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_magnitudes(handle, magnitudes, count, &error);
  Py_END_ALLOW_THREADS
  PyObject *result =
      check_status(module, status, &error) ? PyTuple_New((Py_ssize_t)count) : NULL;
  for (int64_t i = 0; result && i < count; i++) {
    PyObject *number = PyFloat_FromDouble(magnitudes[i]);
    if (!number || PyTuple_SetItem(result, (Py_ssize_t)i, number) < 0) Py_CLEAR(result);
  }
  PyMem_Free(magnitudes);
  return result;
}

PyObject *core_network_masks(PyObject *module, PyObject *args) {
  PyObject *capsule, *mask_list;
  held_arrays masks = {0};
  sf_error error;
  int32_t status, applied = 0;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OO:network_masks", &capsule, &mask_list)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  if (!acquire_arrays(mask_list, 1, &masks)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_masks(handle, masks.arrays, masks.count, &applied, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = PyBool_FromLong(applied);
done:
  release_arrays(&masks);
  return result;
}
