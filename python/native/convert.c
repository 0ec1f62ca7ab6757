/* Conversions between the core's structs and Python objects: statuses to exceptions, lists of
 * integers, lines of text, reports. What must not live here: buffers (arrays.c). */
#include "shim.h"

int check_status(PyObject *module, int32_t status, const sf_error *error) {
  if (status == SF_OK) return 1;
  PyObject *facts =
      Py_BuildValue("(iiLLLds)", error->status, error->operand, (long long)error->tensor,
                    (long long)error->index, (long long)error->count, error->value, error->message);
  if (facts) PyErr_SetObject(state_of(module)->native_error, facts);
  Py_XDECREF(facts);
  return 0;
}

int64_t *integers_from(PyObject *sequence, Py_ssize_t *count) {
  *count = PySequence_Size(sequence);
  if (*count < 0) return NULL;
  int64_t *numbers = PyMem_Calloc((size_t)*count + 1, sizeof(int64_t));
  if (!numbers) {
    PyErr_NoMemory();
    return NULL;
  }
  for (Py_ssize_t i = 0; i < *count; i++) {
    PyObject *item = PySequence_GetItem(sequence, i);
    numbers[i] = item ? PyLong_AsLongLong(item) : -1;
    Py_XDECREF(item);
    if (PyErr_Occurred()) {
      PyMem_Free(numbers);
      return NULL;
    }
  }
  return numbers;
}

/* Units of a tuple (pattern, means, rows, columns, axes). */
static int units_from(PyObject *tuple, tensor_limits *limits) {
  PyObject *axis_list;
  long long rows, columns;
  Py_ssize_t count;
  sf_units *units = &limits->unit_fields;
  if (!PyTuple_Check(tuple)) {
    PyErr_SetString(PyExc_TypeError, "units must be a tuple, or None");
    return 0;
  }
  if (!PyArg_ParseTuple(tuple, "iiLLO:units", &units->pattern, &units->means, &rows, &columns,
                        &axis_list))
    return 0;
  limits->axes = integers_from(axis_list, &count);
  if (!limits->axes) return 0;
  units->rows = rows;
  units->columns = columns;
  units->axes = limits->axes;
  units->count = count;
  limits->units = units;
  return 1;
}

/* One number for each tensor; None: NULL. */
static int tensor_numbers(PyObject *list, const char *name, Py_ssize_t tensors, int64_t **numbers) {
  Py_ssize_t count;
  if (list == Py_None) return 1;
  *numbers = integers_from(list, &count);
  if (!*numbers) return 0;
  if (count == tensors) return 1;
  PyErr_Format(PyExc_ValueError, "%s must be one number for each tensor", name);
  return 0;
}

int limits_from(PyObject *bound_list, PyObject *count_list, PyObject *units, PyObject *cost_list,
                Py_ssize_t tensors, tensor_limits *limits) {
  Py_ssize_t numbers;
  const Py_ssize_t fields = sizeof(sf_bounds) / sizeof(int64_t);
  if (bound_list != Py_None) {
    limits->bounds = integers_from(bound_list, &numbers);
    if (!limits->bounds) return 0;
    if (numbers != tensors * fields) {
      PyErr_Format(PyExc_ValueError, "bounds must be %zd numbers for each tensor", fields);
      return 0;
    }
  }
  if (!tensor_numbers(count_list, "counts", tensors, &limits->counts)) return 0;
  if (!tensor_numbers(cost_list, "costs", tensors, &limits->costs)) return 0;
  return units == Py_None || units_from(units, limits);
}

void release_limits(tensor_limits *limits) {
  PyMem_Free(limits->bounds);
  PyMem_Free(limits->counts);
  PyMem_Free(limits->axes);
  PyMem_Free(limits->costs);
}

PyObject *integer_tuple(const int64_t *numbers, Py_ssize_t count) {
  PyObject *tuple = PyTuple_New(count);
  for (Py_ssize_t i = 0; tuple && i < count; i++) {
    PyObject *number = PyLong_FromLongLong(numbers[i]);
    if (!number || PyTuple_SetItem(tuple, i, number) < 0) {
      Py_CLEAR(tuple);
    }
  }
  return tuple;
}

PyObject *tuple_from_lines(const char *text) {
  PyObject *joined = PyUnicode_FromString(text);
  PyObject *lines = joined ? PyUnicode_Splitlines(joined, 0) : NULL;
  PyObject *names = lines ? PyList_AsTuple(lines) : NULL;
  Py_XDECREF(joined);
  Py_XDECREF(lines);
  return names;
}

/* In the order of `values` in report_dict. */
const char *const report_names[] = {
    "step",        "keep",         "candidates",        "removed",       "revived",
    "zero_scores", "at_threshold", "kept_at_threshold", "arbitrary",     "passes",
    "kept_by_floors", "removed_by_caps",
    "threshold",   "saliency",     "total_saliency",    "gradient_norm", "objective_before",
    "layer_kept"};
_Static_assert(COUNT(report_names) == REPORT_NAMES, "as many names as REPORT_NAMES says");

PyObject *report_dict(PyObject *module, const sf_report *r, const int64_t *layer_kept,
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
                        PyLong_FromLongLong(r->passes),
                        PyLong_FromLongLong(r->kept_by_floors),
                        PyLong_FromLongLong(r->removed_by_caps),
                        PyFloat_FromDouble(r->threshold),
                        PyFloat_FromDouble(r->saliency),
                        PyFloat_FromDouble(r->total_saliency),
                        PyFloat_FromDouble(r->gradient_norm),
                        PyFloat_FromDouble(r->objective_before),
                        integer_tuple(layer_kept, tensors)};
  _Static_assert(COUNT(values) == REPORT_NAMES, "one value for each name");
  PyObject *names = state_of(module)->report_names;
  PyObject *report = PyDict_New();
  for (Py_ssize_t i = 0; i < COUNT(values); i++) {
    if (report && (!values[i] || PyDict_SetItem(report, PyTuple_GetItem(names, i), values[i]) < 0))
      Py_CLEAR(report);
    Py_XDECREF(values[i]);
  }
  return report;
}
