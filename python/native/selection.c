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
  PyObject *score_list, *mask_list;
  long long keep;
  held_arrays scores = {0}, masks = {0};
  sf_report report;
  sf_error error;
  int32_t status;
  int64_t *layer_kept = NULL;
  PyObject *result = NULL;
  if (!PyArg_ParseTuple(args, "OOL:select", &score_list, &mask_list, &keep)) return NULL;
  if (!acquire_arrays(score_list, 0, &scores) || !acquire_arrays(mask_list, 1, &masks)) goto done;
  if (!same_length(&scores, &masks)) goto done;
  layer_kept = PyMem_Calloc((size_t)scores.count + 1, sizeof(int64_t));
  if (!layer_kept) {
    PyErr_NoMemory();
    goto done;
  }
  Py_BEGIN_ALLOW_THREADS
  status = sf_select(scores.arrays, masks.arrays, scores.count, keep, &report, layer_kept, &error);
  Py_END_ALLOW_THREADS
  if (check_status(module, status, &error))
    result = report_dict(module, &report, layer_kept, scores.count);
done:
  PyMem_Free(layer_kept);
  release_arrays(&scores);
  release_arrays(&masks);
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
