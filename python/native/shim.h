/* What the files of the CPython shim share. The shim takes Python buffers and numbers, calls the
 * functions of swiftforce.h, and returns Python objects. It contains no algorithm, raises one
 * exception of its own (_core.NativeError, which swiftforce.native turns into the public ones), and
 * keeps nothing between calls but handles. It uses the limited API, so that one binary serves
 * CPython 3.11 and later.
 *
 * A function that holds buffers has one exit: the code at `done:` releases all of them.
 */
#ifndef SWIFTFORCE_SHIM_H
#define SWIFTFORCE_SHIM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "swiftforce.h"

#define COUNT(list) ((Py_ssize_t)(sizeof(list) / sizeof((list)[0])))

/* ---------------------------------------------------------------------------- module (module.c) */

typedef struct {
  PyObject *native_error;
  PyObject *view_type;
  PyObject *report_names; /* a tuple */
} module_state;

static inline module_state *state_of(PyObject *module) {
  return (module_state *)PyModule_GetState(module);
}

/* The handle in a capsule. 0, which is never a handle, with an exception set if the object is not a
 * capsule of that name. */
static inline int64_t handle_from(PyObject *capsule, const char *name) {
  return (int64_t)(intptr_t)PyCapsule_GetPointer(capsule, name);
}

/* --------------------------------------------------------------------------- buffers (arrays.c) */

/* The arrays of one argument, held during a call. All zeros means none. */
typedef struct {
  Py_buffer *views;
  sf_array *arrays;
  Py_ssize_t count; /* views that were acquired */
} held_arrays;

/* Acquires the buffer of one array and describes it. Returns 1, or 0 with an exception set. */
int acquire_array(PyObject *object, int writable, Py_buffer *view, sf_array *array);

/* Acquires a sequence of arrays; None acquires nothing. Returns 1, or 0 with an exception set: what
 * was acquired until then still needs release_arrays. */
int acquire_arrays(PyObject *list, int writable, held_arrays *out);
void release_arrays(held_arrays *held);

/* Checks that `other`, unless its argument was None, has as many arrays as `first`. Returns 1, or 0
 * with an exception set. */
int same_length(const held_arrays *first, const held_arrays *other);

/* ---------------------------------------------------------------------- conversions (convert.c) */

/* Returns 1 if the status is SF_OK, else 0 with NativeError set. */
int check_status(PyObject *module, int32_t status, const sf_error *error);

/* The integers of a sequence, to be freed with PyMem_Free. NULL with an exception set. */
int64_t *integers_from(PyObject *sequence, Py_ssize_t *count);
PyObject *integer_tuple(const int64_t *numbers, Py_ssize_t count);

/* Floors and caps, the fields of an sf_bounds for each tensor; how many weights each tensor keeps;
 * which weights live or die together; what weights cost. NULL: there are none. */
typedef struct {
  int64_t *bounds, *counts, *axes, *costs;
  sf_units unit_fields;
  const sf_units *units;
} tensor_limits;

/* The limits of lists that may be None. Returns 1, or 0 with an exception set; either way
 * release_limits is needed. */
int limits_from(PyObject *bound_list, PyObject *count_list, PyObject *units, PyObject *cost_list,
                Py_ssize_t tensors, tensor_limits *limits);
void release_limits(tensor_limits *limits);

/* The lines of a text as a tuple of strings. */
PyObject *tuple_from_lines(const char *text);

/* A report as a dictionary with the names of `report_names`, in that order. */
#define REPORT_NAMES 18
extern const char *const report_names[];
PyObject *report_dict(PyObject *module, const sf_report *r, const int64_t *layer_kept,
                      Py_ssize_t tensors);

/* ---------------------------------------------- networks (network.c, network_state.c) */

/* The name of the capsules that hold a network's handle. */
extern const char network_name[];

/* How many parameters a network has. Returns 1, or 0 with an exception set. */
int count_parameters(PyObject *module, int64_t handle, int64_t *count);

/* Fills a layer from a tuple of its fields, in the order of sf_layer. Returns 1, or 0 with an
 * exception set. */
int parse_layer(PyObject *item, sf_layer *layer);

/* The type of the buffers over a network's parameters. */
extern PyType_Spec view_spec;

/* ------------------------------------------ functions of the module, in the order of module.c */

PyObject *core_addresses(PyObject *module, PyObject *list);

PyObject *core_names(PyObject *module, PyObject *args);
PyObject *core_cpu_levels(PyObject *module, PyObject *args);
PyObject *core_threads(PyObject *module, PyObject *args);
PyObject *core_ieee(PyObject *module, PyObject *function);
PyObject *core_set_threads(PyObject *module, PyObject *args);
PyObject *core_saliency_reads(PyObject *module, PyObject *args);
PyObject *core_method(PyObject *module, PyObject *args);
PyObject *core_keep_count(PyObject *module, PyObject *args);
PyObject *core_schedule(PyObject *module, PyObject *args);
PyObject *core_permutation(PyObject *module, PyObject *args);

PyObject *core_saliency(PyObject *module, PyObject *args);
PyObject *core_allocate(PyObject *module, PyObject *args);
PyObject *core_bounds_range(PyObject *module, PyObject *args);
PyObject *core_select(PyObject *module, PyObject *args);
PyObject *core_scan(PyObject *module, PyObject *args);

PyObject *core_search_create(PyObject *module, PyObject *args);
PyObject *core_search_once(PyObject *module, PyObject *args);
PyObject *core_search_step(PyObject *module, PyObject *args);
PyObject *core_search_taken(PyObject *module, PyObject *args);
PyObject *core_search_report(PyObject *module, PyObject *args);
PyObject *core_search_objective(PyObject *module, PyObject *args);

PyObject *core_network_create(PyObject *module, PyObject *args);
PyObject *core_network_sizes(PyObject *module, PyObject *args);
PyObject *core_network_parameters(PyObject *module, PyObject *args);
PyObject *core_network_view(PyObject *module, PyObject *args);
PyObject *core_network_apply(PyObject *module, PyObject *args);
PyObject *core_network_plan(PyObject *module, PyObject *args);
PyObject *core_network_masks(PyObject *module, PyObject *args);
PyObject *core_network_magnitudes(PyObject *module, PyObject *args);
PyObject *core_network_remember(PyObject *module, PyObject *args);
PyObject *core_network_restore(PyObject *module, PyObject *args);
PyObject *core_network_forget(PyObject *module, PyObject *args);
PyObject *core_network_reset(PyObject *module, PyObject *args);

PyObject *core_network_gradients(PyObject *module, PyObject *args);
PyObject *core_network_train(PyObject *module, PyObject *args);
PyObject *core_network_evaluate(PyObject *module, PyObject *args);
PyObject *core_network_forward(PyObject *module, PyObject *args);

PyObject *core_layer_forward(PyObject *module, PyObject *args);
PyObject *core_layer_backward(PyObject *module, PyObject *args);

PyObject *core_sparse_limit(PyObject *module, PyObject *sizes);
PyObject *core_sparse_create(PyObject *module, PyObject *args);
PyObject *core_sparse_forward(PyObject *module, PyObject *args);
PyObject *core_sparse_backward(PyObject *module, PyObject *args);

#endif
