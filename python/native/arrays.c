/* The buffers of Python arrays: acquiring them for a call, their element types, their release. What
 * must not live here: what the arrays are for. */
#include "shim.h"

/* The element type of a buffer's format; -1, which the core refuses, for any other format. bfloat16
 * has no format: acquire_array finds it by the array's dtype. */
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

/* Whether the array's dtype is the bfloat16 of ml_dtypes. A pending exception stays pending. */
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

int acquire_array(PyObject *object, int writable, Py_buffer *view, sf_array *array) {
  int flags = PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
  int32_t type_without_format = -1;
  if (PyObject_GetBuffer(object, view, flags | PyBUF_FORMAT) < 0) {
    if (!holds_bfloat16(object)) return 0;
    PyErr_Clear();
    if (PyObject_GetBuffer(object, view, flags) < 0) return 0;
    if (view->itemsize == 2) type_without_format = SF_TYPE_BFLOAT16;
  }
  array->data = view->buf;
  array->count = view->itemsize > 0 ? view->len / view->itemsize : 0;
  array->type = view->format ? type_of(view) : type_without_format;
  return 1;
}

int acquire_arrays(PyObject *list, int writable, held_arrays *out) {
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
    int acquired = item && acquire_array(item, writable, &out->views[i], &out->arrays[i]);
    Py_XDECREF(item);
    if (!acquired) return 0;
    out->count = i + 1;
  }
  return 1;
}

void release_arrays(held_arrays *held) {
  for (Py_ssize_t i = 0; i < held->count; i++) PyBuffer_Release(&held->views[i]);
  PyMem_Free(held->views);
  PyMem_Free(held->arrays);
  memset(held, 0, sizeof *held);
}

int same_length(const held_arrays *first, const held_arrays *other) {
  if (!other->arrays || other->count == first->count) return 1;
  PyErr_SetString(PyExc_ValueError, "lists of arrays differ in length");
  return 0;
}

/* The address of each array of a sequence. Arrays of any type will do, since nothing is read. */
PyObject *core_addresses(PyObject *Py_UNUSED(module), PyObject *list) {
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
