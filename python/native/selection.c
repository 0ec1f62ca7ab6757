/* Scores, one selection, and the benchmark's scan. What must not live here: searches of several
 * steps (search.c). */
#include "shim.h"

PyObject *core_saliency(PyObject *module, PyObject *args) {
  int saliency;
  PyObject *weight_list, *gradient_list, *score_list;
  unsigned long long seed;
  held_arrays weights = {0}, gradients = {0}, scores = {0};
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "iOOOK:saliency", &saliency, &weight_list, &gradient_list,
                        &score_list, &seed))
    return NULL;
  if (!acquire_arrays(weight_list, 0, &weights) || !acquire_arrays(gradient_list, 0, &gradients) ||
      !acquire_arrays(score_list, 1, &scores))
    goto done;
  if (!same_length(&weights, &gradients) || !same_length(&weights, &scores)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_saliency(saliency, weights.arrays, gradients.arrays, scores.arrays, weights.count,
                       seed, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = Py_NewRef(Py_None);
done:
  release_arrays(&weights);
  release_arrays(&gradients);
  release_arrays(&scores);
  return result;
}

PyObject *core_select(PyObject *module, PyObject *args) {
  PyObject *score_list, *mask_list, *bound_list, *count_list, *units, *cost_list;
  tensor_limits limits = {0};
  long long keep;
  held_arrays scores = {0}, masks = {0};
  sf_report report;
  sf_error error;
  int32_t status;
  int64_t *layer_kept = NULL;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOLOOOO:select", &score_list, &mask_list, &keep, &bound_list,
                        &count_list, &units, &cost_list))
    return NULL;
  if (!acquire_arrays(score_list, 0, &scores) || !acquire_arrays(mask_list, 1, &masks)) goto done;
  if (!same_length(&scores, &masks)) goto done;
  if (!limits_from(bound_list, count_list, units, cost_list, scores.count, &limits)) goto done;
  layer_kept = PyMem_Calloc((size_t)scores.count + 1, sizeof(int64_t));
  if (!layer_kept) {
    PyErr_NoMemory();
    goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_select(scores.arrays, masks.arrays, scores.count, keep,
                     (const sf_bounds *)limits.bounds, limits.counts, limits.units, limits.costs,
                     &report, layer_kept, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error))
    result = report_dict(module, &report, layer_kept, scores.count);
done:
  PyMem_Free(layer_kept);
  release_limits(&limits);
  release_arrays(&scores);
  release_arrays(&masks);
  return result;
}

PyObject *core_allocate(PyObject *module, PyObject *args) {
  int allocation;
  long long keep;
  PyObject *size_list, *end_list, *bound_list, *result = NULL;
  int64_t *sizes = NULL, *ends = NULL, *counts = NULL;
  Py_ssize_t tensors, end_count;
  tensor_limits limits = {0};
  sf_error error;
  if (!PyArg_ParseTuple(args, "iOOOL:allocate", &allocation, &size_list, &end_list, &bound_list,
                        &keep))
    return NULL;
  if (!(sizes = integers_from(size_list, &tensors)) || !(ends = integers_from(end_list, &end_count)))
    goto done;
  if (end_count != tensors) {
    PyErr_SetString(PyExc_ValueError, "sizes and ends differ in length");
    goto done;
  }
  if (!limits_from(bound_list, Py_None, Py_None, Py_None, tensors, &limits)) goto done;
  counts = PyMem_Calloc((size_t)tensors + 1, sizeof(int64_t));
  if (!counts) {
    PyErr_NoMemory();
    goto done;
  }
  if (check_status(module,
                   sf_allocate(allocation, sizes, ends, (const sf_bounds *)limits.bounds, tensors,
                               keep, counts, &error),
                   &error))
    result = integer_tuple(counts, tensors);
done:
  PyMem_Free(sizes);
  PyMem_Free(ends);
  PyMem_Free(counts);
  release_limits(&limits);
  return result;
}

PyObject *core_bounds_range(PyObject *module, PyObject *args) {
  PyObject *size_list, *bound_list, *result = NULL;
  int64_t *sizes = NULL, *ranges = NULL;
  Py_ssize_t tensors;
  tensor_limits limits = {0};
  sf_error error;
  if (!PyArg_ParseTuple(args, "OO:bounds_range", &size_list, &bound_list)) return NULL;
  if (!(sizes = integers_from(size_list, &tensors))) goto done;
  if (!limits_from(bound_list, Py_None, Py_None, Py_None, tensors, &limits)) goto done;
  ranges = PyMem_Calloc(2 * (size_t)tensors + 2, sizeof(int64_t));
  if (!ranges) {
    PyErr_NoMemory();
    goto done;
  }
  if (check_status(module,
                   sf_bounds_range(sizes, (const sf_bounds *)limits.bounds, tensors, ranges,
                                   ranges + tensors, &error),
                   &error))
    result = Py_BuildValue("(NN)", integer_tuple(ranges, tensors),
                           integer_tuple(ranges + tensors, tensors));
done:
  PyMem_Free(sizes);
  PyMem_Free(ranges);
  release_limits(&limits);
  return result;
}

PyObject *core_scan(PyObject *module, PyObject *args) {
  PyObject *list;
  held_arrays arrays = {0};
  uint64_t parity;
  sf_error error;
  int32_t status;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "O:scan", &list)) return NULL;
  if (!acquire_arrays(list, 0, &arrays)) goto done;
  Py_BEGIN_ALLOW_THREADS
  status = sf_scan(arrays.arrays, arrays.count, &parity, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error)) result = PyLong_FromUnsignedLongLong(parity);
done:
  release_arrays(&arrays);
  return result;
}
