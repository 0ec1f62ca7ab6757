/* A network: its creation, parameters and masks. What must not live here: calls that take a batch
 * (training.c). */
#include "shim.h"

const char network_name[] = "swiftforce.network";

static void free_network(PyObject *capsule) {
  sf_network_release((int64_t)(intptr_t)PyCapsule_GetPointer(capsule, network_name), NULL);
}

/* A buffer over one parameter's memory. It keeps the network alive. */
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

PyType_Spec view_spec = {
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

/* Fills a layer from a tuple of its fields, in the order of sf_layer. Returns 1, or 0 with an
 * exception set. */
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

PyObject *core_network_parameters(PyObject *module, PyObject *args) {
  PyObject *capsule;
  int64_t count = 0;
  sf_error error;
  sf_parameter *parameters = NULL;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O:network_parameters", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_parameters(handle, NULL, 0, &count, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) return NULL;
  parameters = PyMem_Calloc((size_t)count + 1, sizeof(sf_parameter));
  if (!parameters) return PyErr_NoMemory();
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_parameters(handle, parameters, count, &count, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) goto done;
  result = PyTuple_New((Py_ssize_t)count);
  for (int64_t i = 0; result && i < count; i++) {
    PyObject *item = parameter_tuple(module, capsule, &parameters[i]);
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
    PyObject *item = Py_BuildValue("(Li)", (long long)plans[i].kept, (int)plans[i].products);
    if (!item || PyTuple_SetItem(result, (Py_ssize_t)i, item) < 0) Py_CLEAR(result);
  }
done:
  PyMem_Free(plans);
  return result;
}

PyObject *core_network_reset(PyObject *module, PyObject *args) {
  PyObject *capsule;
  sf_error error;
  int32_t status;
  if (!PyArg_ParseTuple(args, "O:network_reset", &capsule)) return NULL;
  int64_t handle = handle_from(capsule, network_name);
  if (!handle) return NULL;
  Py_BEGIN_ALLOW_THREADS
  status = sf_network_reset(handle, &error);
  Py_END_ALLOW_THREADS
  if (!check_status(module, status, &error)) return NULL;
  return Py_NewRef(Py_None);
}
