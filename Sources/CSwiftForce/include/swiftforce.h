/* The C interface of swiftforce: the structs, statuses and functions between the Swift core and its
 * callers. This header is the contract. Sources/SwiftForceABI implements it, and the CPython shim
 * (python/native) calls it.
 *
 * For every function:
 *  - It returns a status (SF_OK is 0). If `error` is not NULL, it fills it, also on success.
 *  - It checks every pointer, count and type before it reads or writes anything. It refuses an
 *    array that is written and overlaps another one, and weights that overlap. A call that returns
 *    a status other than SF_OK has written nothing but `*error`, except that new masks and scores
 *    are unspecified after SF_NON_FINITE and SF_ARRAYS_CHANGED, and new masks after SF_RANK_FAILED
 *    and SF_EXCHANGE_FAILED.
 *    Result structs and lists of counts must not overlap arrays; this is not checked.
 *  - Memory belongs to the caller. No pointer is kept after the call.
 *  - It may be called from several threads at once. Calls on one handle wait for each other. A call
 *    from within another one on the same handle, as a callback may make it, is refused (SF_IN_USE).
 *  - It computes with subnormal numbers, rounds to nearest and traps nothing, whatever the calling
 *    thread has set, and puts the thread's floating-point registers back, also while a callback runs.
 *  - Sizes, counts and positions are 64-bit. Positions count elements in memory order.
 */
#ifndef SWIFTFORCE_H
#define SWIFTFORCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define SF_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define SF_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/* Increased whenever a struct or a prototype below changes. */
#define SF_ABI_VERSION 13

/* ------------------------------------------------------------------------------ vocabulary */

/* Lists of constants, from which enums and names are generated: X(value, NAME, "meaning"). */

#define SF_STATUSES(X)                                                                     \
  X(0, OK, "success")                                                                      \
  X(1, NULL_POINTER, "a required pointer is null")                                         \
  X(2, BAD_COUNT, "a count is negative, zero where it must not be, or overflows")          \
  X(3, MISALIGNED, "a pointer is not aligned to its element type")                         \
  X(4, OVERLAP, "two arrays that must be distinct share memory")                           \
  X(5, UNSUPPORTED_TYPE, "an array has an element type that is not supported")             \
  X(6, SIZE_MISMATCH, "arrays that belong together differ in size")                        \
  X(7, UNKNOWN_NAME, "the number of a method, schedule, saliency or layer is unknown")     \
  X(8, BAD_SPARSITY, "a sparsity is not in [0, 1)")                                        \
  X(9, BAD_KEEP, "a number of weights to keep is not in 1 ... n")                          \
  X(10, BAD_STEPS, "steps are below one, above one for a one-shot method, or too many")    \
  X(11, BAD_SCHEDULE, "a schedule grows, or falls below the number that it ends with")     \
  X(12, NON_FINITE, "a weight, gradient or score is NaN or infinite")                      \
  X(13, MISSING_GRADIENTS, "the method needs gradients")                                   \
  X(14, SEARCH_DONE, "the search has taken all its steps")                                 \
  X(15, MASKS_CHANGED, "the masks do not keep as many weights as after the previous step") \
  X(16, BAD_HANDLE, "a handle is not that of a live object of this kind")                  \
  X(17, BAD_LABEL, "a label is not in 0 ... classes - 1")                                  \
  X(18, BAD_ROW, "a row number is outside the data set")                                   \
  X(19, BAD_ARCHITECTURE, "layers do not fit together")                                    \
  X(20, BAD_HYPERPARAMETER, "a setting of a search, a loss or training is out of range")   \
  X(21, NO_MEMORY, "memory could not be allocated")                                        \
  X(22, SMALL_BUFFER, "the buffer for a text is too small")                                \
  X(23, BAD_THREADS, "a number of threads is not in 1 ... 4096")                           \
  X(24, BAD_ENVIRONMENT, "an environment variable has an invalid value")                   \
  X(25, ARRAYS_CHANGED, "weights, gradients or scores changed while they were read")       \
  X(26, BAD_START, "a tensor overlaps the previous one, or ends after the last weight")    \
  X(27, RANK_FAILED, "another rank failed, or is not at the same step of the same search") \
  X(28, EXCHANGE_FAILED, "a sum over all ranks failed, or its result is impossible")       \
  X(29, IN_USE, "a call on the same handle is still running in this thread")              \
  X(30, BAD_BOUNDS, "no masks respect the floors and caps on kept weights")

/* Element types of an array. Weights, gradients and scores have one of the first four, and one call
   may mix them. MASK is one byte per element, 0 or 1, like numpy's bool. */
#define SF_TYPES(X)                                 \
  X(0, FLOAT32, "IEEE binary32")                    \
  X(1, FLOAT64, "IEEE binary64")                    \
  X(2, FLOAT16, "IEEE binary16")                    \
  X(3, BFLOAT16, "the upper 16 bits of a binary32") \
  X(4, MASK, "0 or 1 in a byte")                    \
  X(5, INT64, "signed, 64 bits")

/* The argument that an error refers to. */
#define SF_OPERANDS(X)                     \
  X(0, NONE, "no argument in particular")  \
  X(1, WEIGHTS, "weights")                 \
  X(2, GRADIENTS, "gradients")             \
  X(3, SCORES, "scores")                   \
  X(4, MASKS, "masks")                     \
  X(5, MASKED_WEIGHTS, "masked weights")   \
  X(6, INPUTS, "the inputs of a batch")    \
  X(7, LABELS, "the labels of a batch")    \
  X(8, ROWS, "the row numbers of a batch") \
  X(9, LOGITS, "the outputs of a network") \
  X(10, ACCUMULATED, "accumulated scores")

/* The lists of names that the Swift core publishes through sf_names. */
#define SF_AXES(X)                                         \
  X(0, SALIENCY, "how important one weight is")            \
  X(1, SCHEDULE, "how many weights are kept after a step") \
  X(2, RULE, "which weights compete in the next step")     \
  X(3, METHOD, "a row that combines the axes")             \
  X(4, LAYER, "kinds of network layer")                    \
  X(5, ROLE, "what a parameter of a network is for")       \
  X(6, LOSS, "what gradients for a search are taken of")  \
  X(7, ALLOCATION, "how the kept weights are shared out among the tensors") \
  X(8, PATTERN, "which weights live or die together")

#define SF_STATUS_CASE(value, name, text) SF_##name = value,
enum sf_status { SF_STATUSES(SF_STATUS_CASE) };
#undef SF_STATUS_CASE

#define SF_TYPE_CASE(value, name, text) SF_TYPE_##name = value,
enum sf_type { SF_TYPES(SF_TYPE_CASE) };
#undef SF_TYPE_CASE

#define SF_OPERAND_CASE(value, name, text) SF_OPERAND_##name = value,
enum sf_operand { SF_OPERANDS(SF_OPERAND_CASE) };
#undef SF_OPERAND_CASE

#define SF_AXIS_CASE(value, name, text) SF_AXIS_##name = value,
enum sf_axis { SF_AXES(SF_AXIS_CASE) };
#undef SF_AXIS_CASE

/* ---------------------------------------------------------------------------------- structs */

/* One contiguous array. `data` may be NULL only where `count` is 0. */
typedef struct sf_array {
  void *data;
  int64_t count; /* elements */
  int32_t type;  /* enum sf_type */
  int32_t reserved;
} sf_array;

/* The details of an error. Fields that do not apply hold -1, or 0 for `value`. */
typedef struct sf_error {
  int32_t status;    /* enum sf_status */
  int32_t operand;   /* enum sf_operand: the invalid argument */
  int64_t tensor;    /* its position in that list */
  int64_t index;     /* the first invalid element */
  int64_t count;     /* the number of invalid elements; or the invalid count or size */
  double value;      /* the invalid value */
  char message[216]; /* one sentence in English, ends with a null byte */
} sf_error;

/* What a saliency reads. */
typedef struct sf_saliency_info {
  int32_t reads_weights;
  int32_t reads_gradients;
} sf_saliency_info;

/* Floors and caps on how many weights of a tensor are kept. An output unit is a row of the tensor as
   a matrix; its weights are ordered as in memory. */
typedef struct sf_bounds {
  int64_t least;            /* of the tensor */
  int64_t most;
  int64_t outputs;          /* output units; 0 or 1: the tensor is one */
  int64_t inner;            /* successive weights in memory that belong to one output unit */
  int64_t least_per_output; /* of each output unit */
  int64_t most_per_output;
  int64_t group;            /* weights of a group of neighbours in an output unit; 0: no groups */
  int64_t most_per_group;   /* of each group */
} sf_bounds;

/* A row of the table of methods. */
typedef struct sf_method_info {
  int32_t saliency;        /* position in sf_names(SF_AXIS_SALIENCY) */
  int32_t rule;            /* position in sf_names(SF_AXIS_RULE) */
  int32_t one_shot;        /* 1: always one step */
  int32_t needs_gradients; /* 1: a step reads gradients */
} sf_method_info;

/* Which weights of the tensors live or die together. */
typedef struct sf_units {
  int32_t pattern;     /* position in sf_names(SF_AXIS_PATTERN) */
  int32_t means;       /* 1: the score of a unit is the mean of those of its weights; 0: their sum */
  int64_t rows;        /* of blocks: output units */
  int64_t columns;     /* of blocks: weights of each output unit */
  const int64_t *axes; /* for each tensor: the number of its axes, the positions of those that count
                          output units and input units, and the lengths of all, in memory order */
  int64_t count;       /* of these numbers */
} sf_units;

typedef struct sf_search_options {
  int32_t method;       /* position in sf_names(SF_AXIS_METHOD) */
  int32_t schedule;     /* position in sf_names(SF_AXIS_SCHEDULE); ignored if keeps is set */
  int32_t saliency;     /* position in sf_names(SF_AXIS_SALIENCY); -1: that of the method */
  int32_t rule;         /* position in sf_names(SF_AXIS_RULE); -1: that of the method */
  int64_t keep;         /* weights kept after the last step */
  int64_t steps;        /* number of steps */
  const int64_t *keeps; /* weights kept after each of the steps; NULL: follow the schedule */
  uint64_t seed;        /* for the random saliency */
  int64_t total;        /* weights of all ranks, of which some may have none; 0: no other ranks */
  int64_t taken;        /* steps that an earlier search has taken, after which this one continues */
  double momentum;       /* in [0, 1) in binary32, too: weights compete by
                            momentum * accumulated before + score. 0 for methods of one step */
  double removed_factor; /* in [0, 1], and 0 or 1 in binary32 only if it is: factor of the scores
                            of removed weights; 0: they do not compete. 1 for methods of one step
                            and those whose rule is `nested` */
  int64_t nested_from;   /* first step in which removed weights do not compete; 0: what the rule of
                            the method says, or the factor. 0 for the methods above */
  const sf_bounds *bounds; /* floors and caps of each tensor; NULL: there are none. Steps that would
                              keep more than the caps allow keep as many as those allow, unless
                              keeps is set */
  const int64_t *counts;   /* weights that each tensor keeps after the last step, `keep` in all;
                              NULL: scores decide */
  const sf_units *units;   /* NULL: each weight lives alone. Otherwise bounds are NULL, and units are
                              kept as long as they fit into `keep` and `counts`. NULL with other
                              ranks */
  const int64_t *costs;    /* what one weight of each tensor costs, at least 1; NULL: numbers of weights
                              are what is limited. Otherwise the numbers to keep are budgets: the best
                              weights by score / cost are kept, as many as those pay for; bounds,
                              counts and units are NULL */
  const int64_t *wholes;   /* with total and with bounds, counts or costs, which are then of these:
                              elements of each tensor of all ranks, in the order of their positions.
                              Those of the search are some of them, or pieces of all; bounds of output
                              units and of groups need tensors that are not in pieces. Else NULL */
  int64_t whole_count;     /* how many there are; 0 with NULL */
  int64_t first_whole;     /* which of them the first tensor of the search is, or is a piece of */
} sf_search_options;

/* The arrays of one step: `tensors` entries in each list that is not NULL. */
typedef struct sf_step_arrays {
  const sf_array *weights;   /* the dense weights */
  const sf_array *gradients; /* the dense gradients at the masked weights; the scores, if those are
                                given; NULL if not needed */
  const sf_array *previous;  /* the masks of the previous step; NULL at the first */
  const sf_array *masks;     /* out: the new masks */
  const sf_array *masked;    /* out: the weight if kept, else 0, of the weights' types. A later step
                                needs them as the previous step left them. NULL: not written */
  const sf_array *accumulated; /* in, out: with momentum, accumulated scores, FLOAT64 for weights of
                                  that type, else FLOAT32; zeros at the first step, later what the
                                  previous step left. Ignored without momentum */
  int64_t tensors;
} sf_step_arrays;

/* How a step reaches the other ranks: processes that each hold a part of the weights and take every
   step of a search together. `sum` replaces each of `count` numbers by its sum over all ranks and
   returns 0, or another number if that failed: then the step ends, on this rank alone, and `sum` is
   not called again. It is called on the thread that takes the step, and must not use that
   search. */
typedef struct sf_ranks {
  int32_t (*sum)(void *context, int64_t *values, int64_t count);
  void *context;         /* passed to `sum` */
  const int64_t *starts; /* for each tensor: how many weights of all ranks precede it; ascending */
  /* NULL if the ranks have tensors of their own. If their tensors are pieces of larger ones, which
     all ranks list in the same order: the number of dimensions of each piece, and one after the
     other for all pieces, outermost dimension first, elements along each dimension and how far
     apart neighbours along it lie in the order of the weights of all ranks. */
  const int64_t *dimensions;
  const int64_t *extents;
  const int64_t *strides;
} sf_ranks;

/* The report of one selection. Sums are computed in double in a fixed order. */
typedef struct sf_report {
  int64_t step;              /* 1 for the first */
  int64_t keep;              /* weights kept */
  int64_t candidates;        /* weights that competed */
  int64_t removed;           /* kept before, not now */
  int64_t revived;           /* not kept before, now kept */
  int64_t zero_scores;       /* candidates whose own score of this step is zero, without
                                momentum and factor */
  int64_t at_threshold;      /* candidates whose score equals the threshold */
  int64_t kept_at_threshold; /* how many of these are kept: those at the lowest positions */
  int64_t arbitrary;         /* kept with a zero score while others with a zero score are not */
  int64_t passes;            /* passes over the arrays to find the mask */
  int64_t kept_by_floors;    /* weights that floors keep below the score that decides among all */
  int64_t removed_by_caps;   /* weights that caps remove above it */
  double threshold;          /* the smallest kept score */
  double saliency;           /* sum of the kept scores */
  double total_saliency;     /* sum of the candidates' scores */
  double gradient_norm;      /* Euclidean norm of the gradients; 0 without gradients */
  double objective_before;   /* sum of this step's own scores over the weights that the previous
                                masks keep, all at the first step: S(c) of `force` before the step */
} sf_report;

/* Values of `source` and `addend` of a layer that are not the position of an earlier layer. */
#define SF_NETWORK_INPUT (-1)
#define SF_NO_LAYER (-2)

/* One layer of a network to be created. Fields that its kind does not use are 0, or SF_NO_LAYER. */
typedef struct sf_layer {
  int32_t kind;     /* position in sf_names(SF_AXIS_LAYER) */
  int32_t source;   /* the layer whose output it reads, or SF_NETWORK_INPUT */
  int32_t addend;   /* add: the other layer that it reads; else SF_NO_LAYER */
  int32_t has_bias; /* linear, conv2d: 1 or 0 */
  int64_t inputs;   /* linear: features; conv2d, batch_norm2d: channels */
  int64_t outputs;  /* linear: features; conv2d: channels */
  int64_t kernel;   /* conv2d, max_pool2d, avg_pool2d: side of kernel or window */
  int64_t stride;   /* the same layers: distance between two positions */
  int64_t padding;  /* conv2d: zeros on each side of the image */
  int64_t groups;   /* conv2d: 1, or the number of input and output channels */
  double momentum;  /* batch_norm2d: fraction of a running statistic that each batch replaces */
  double epsilon;   /* batch_norm2d: added to the variance */
} sf_layer;

/* One parameter tensor of a network. The memory lives as long as the network's handle. */
typedef struct sf_parameter {
  float *data;
  int64_t layer; /* position of its layer */
  int32_t role;  /* position in sf_names(SF_AXIS_ROLE) */
  int32_t rank;
  int64_t shape[4]; /* the first `rank` entries */
} sf_parameter;

/* How a network uses a weight. */
typedef struct sf_weight_plan {
  int64_t kept;      /* weights that its mask keeps, or all */
  int32_t is_sparse; /* 1 if its layer computes over them alone */
  int32_t limit;     /* the largest density at which it may, in thousandths; 0: it never does */
  int64_t multiply_adds; /* of each of its elements, for one sample */
} sf_weight_plan;

/* One axis of the image of a convolution; of a linear layer 1, 1, 1, 0. */
typedef struct sf_side {
  int64_t inputs; /* positions of the source */
  int64_t kernel;
  int64_t stride;
  int64_t padding; /* zeros on each side, in 0 ... kernel - 1 */
} sf_side;

/* A convolution without groups, or a linear layer. */
typedef struct sf_sparse_sizes {
  int64_t inputs; /* channels, or features */
  int64_t outputs;
  sf_side rows;
  sf_side columns;
} sf_sparse_sizes;

/* The arrays of sf_sparse_forward and sf_sparse_backward, all FLOAT32. Samples lie in blocks of 16:
   (blocks, channels, height, width, 16). A batch of fewer than 16 is one block of so many. */
typedef struct sf_sparse_arrays {
  int64_t samples;              /* a multiple of 16; forward alone: or fewer than 16 */
  const sf_array *source;       /* read */
  const sf_array *values;       /* read: the kept weights, in the order of the dense weight */
  const sf_array *bias;         /* forward: read, or NULL. backward: NULL */
  const sf_array *output;       /* forward: written. backward: read, the gradient of the outputs */
  const sf_array *gradients[3]; /* backward: written, or NULL: of source, values, bias */
} sf_sparse_arrays;

/* A dense layer of an image by itself. */
typedef struct sf_layer_operation {
  const sf_layer *layer; /* of any kind but add; source: SF_NETWORK_INPUT */
  int64_t shape[3];      /* channels, height and width of a sample */
  int64_t samples;       /* of the batch, see sf_sparse_arrays; the last block may have a gap */
} sf_layer_operation;

/* The arrays of sf_layer_forward and sf_layer_backward, all FLOAT32. */
typedef struct sf_layer_arrays {
  const sf_array *source;              /* read */
  const sf_array *parameters;          /* as sf_network_parameters has them for the layer */
  int64_t parameter_count;
  const sf_array *output;              /* forward: written. backward: read */
  const sf_array *saved;               /* forward: written. backward: read. batch_norm2d: 3 channels */
  const sf_array *output_gradient;     /* backward: read. forward: NULL */
  const sf_array *source_gradient;     /* backward: written, or NULL */
  const sf_array *parameter_gradients; /* backward: written, those of trained parameters, or NULL */
  int64_t gradient_count;              /* of them; 0 with NULL */
} sf_layer_arrays;

/* Samples of a data set. Row r is inputs[r * features ...] with label labels[r]. */
typedef struct sf_batch {
  const float *inputs;   /* samples x features, row by row */
  const int64_t *labels; /* one per row of inputs; NULL if the call needs none */
  const int64_t *rows;   /* the rows to use, in this order; NULL: 0 ... count - 1 */
  int64_t samples;       /* rows of inputs */
  int64_t features;
  int64_t count; /* number of rows to use */
  int64_t together; /* for sf_network_gradients only: samples normalised together; 0: all */
} sf_batch;

/* Stochastic gradient descent: v = momentum v + g + weight_decay w;  w = w - learning_rate v. */
typedef struct sf_sgd {
  double learning_rate;
  double momentum;
  double weight_decay;
} sf_sgd;

typedef struct sf_batch_result {
  double loss;     /* mean over the batch: cross entropy, or the loss that was asked for */
  int64_t correct; /* samples whose largest output is at the label */
} sf_batch_result;

SF_STATIC_ASSERT(sizeof(void *) == 8, "swiftforce is built for 64-bit machines");
SF_STATIC_ASSERT(sizeof(sf_array) == 24, "layout of sf_array");
SF_STATIC_ASSERT(sizeof(sf_error) == 256, "layout of sf_error");
SF_STATIC_ASSERT(sizeof(sf_saliency_info) == 8, "layout of sf_saliency_info");
SF_STATIC_ASSERT(sizeof(sf_bounds) == 64, "layout of sf_bounds");
SF_STATIC_ASSERT(sizeof(sf_units) == 40, "layout of sf_units");
SF_STATIC_ASSERT(sizeof(sf_method_info) == 16, "layout of sf_method_info");
SF_STATIC_ASSERT(sizeof(sf_search_options) == 144, "layout of sf_search_options");
SF_STATIC_ASSERT(sizeof(sf_step_arrays) == 56, "layout of sf_step_arrays");
SF_STATIC_ASSERT(sizeof(sf_ranks) == 48, "layout of sf_ranks");
SF_STATIC_ASSERT(sizeof(sf_report) == 136, "layout of sf_report");
SF_STATIC_ASSERT(sizeof(sf_layer) == 80, "layout of sf_layer");
SF_STATIC_ASSERT(sizeof(sf_parameter) == 56, "layout of sf_parameter");
SF_STATIC_ASSERT(sizeof(sf_weight_plan) == 24, "layout of sf_weight_plan");
SF_STATIC_ASSERT(sizeof(sf_side) == 32, "layout of sf_side");
SF_STATIC_ASSERT(sizeof(sf_sparse_sizes) == 80, "layout of sf_sparse_sizes");
SF_STATIC_ASSERT(sizeof(sf_sparse_arrays) == 64, "layout of sf_sparse_arrays");
SF_STATIC_ASSERT(sizeof(sf_layer_operation) == 40, "layout of sf_layer_operation");
SF_STATIC_ASSERT(sizeof(sf_layer_arrays) == 72, "layout of sf_layer_arrays");
SF_STATIC_ASSERT(sizeof(sf_batch) == 56, "layout of sf_batch");
SF_STATIC_ASSERT(sizeof(sf_sgd) == 24, "layout of sf_sgd");
SF_STATIC_ASSERT(sizeof(sf_batch_result) == 16, "layout of sf_batch_result");

/* -------------------------------------------------------------------------------- functions */

/* Sets *version to the SF_ABI_VERSION that the library was built with. To be called first: it makes
   OpenBLAS compute on the threads that call it, and use none of its own, in the whole process. */
int32_t sf_abi_version(int32_t *version, sf_error *error);

/* Calls body(context) with the floating-point registers that all other functions compute with. */
int32_t sf_ieee(void (*body)(void *context), void *context, sf_error *error);

/* The number of threads that a call may use. Default: SWIFTFORCE_NUM_THREADS, or the number of CPUs
   that the process may run on. */
int32_t sf_set_threads(int64_t threads, sf_error *error);
int32_t sf_threads(int64_t *threads, sf_error *error);

/* The CPU levels of this machine, which SWIFTFORCE_CPU_LEVEL may name, each ended by '\n'. The one
   in use comes first. */
int32_t sf_cpu_levels(char *text, int64_t capacity, sf_error *error);

/* Writes the names of one axis in order to `text`, each ended by '\n', and a terminating null byte.
   `text` has `capacity` bytes. */
int32_t sf_names(int32_t axis, char *text, int64_t capacity, sf_error *error);

int32_t sf_saliency_reads(int32_t saliency, sf_saliency_info *info, sf_error *error);
int32_t sf_method(int32_t method, sf_method_info *info, sf_error *error);

/* *keep = round(n (1 - sparsity)), with ties to even, and at least 1. */
int32_t sf_keep_count(int64_t n, double sparsity, int64_t *keep, sf_error *error);

/* keeps[t - 1], t = 1 ... steps: how many of n weights are kept after step t. The last is
   `keep`. */
int32_t sf_schedule(int32_t schedule, int64_t n, int64_t keep, int64_t steps, int64_t *keeps,
                    sf_error *error);

/* counts[i] = how many weights each tensor keeps, `keep` in all, by an allocation other than `global`
   and within bounds (NULL: there are none). ends: the sum of the lengths of the axes of each
   tensor. */
int32_t sf_allocate(int32_t allocation, const int64_t *sizes, const int64_t *ends,
                    const sf_bounds *bounds, int64_t tensors, int64_t keep, int64_t *counts,
                    sf_error *error);

/* least[i], most[i] = how many weights of each tensor must and may be kept. */
int32_t sf_bounds_range(const int64_t *sizes, const sf_bounds *bounds, int64_t tensors,
                        int64_t *least, int64_t *most, sf_error *error);

/* Sets order to a random permutation of 0 ... n - 1 from one of the seed's independent streams. */
int32_t sf_permutation(int64_t n, uint64_t seed, uint64_t stream, int64_t *order, sf_error *error);

/* scores[i] = the saliency of each weight. Scores must be FLOAT64 if an array that the saliency
   reads is FLOAT64, else FLOAT32. weights: always needed, since they give the sizes. gradients: may
   be NULL if the saliency does not read them; otherwise their values are ignored. */
int32_t sf_saliency(int32_t saliency, const sf_array *weights, const sf_array *gradients,
                    const sf_array *scores, int64_t tensors, uint64_t seed, sf_error *error);

/* masks = 1 at the `keep` largest scores; equal scores are kept in the order of their positions.
   Scores may be negative. bounds, counts, units, costs: as in sf_search_options; `keep` is the sum of
   counts if there are any. layer_kept: NULL, or `tensors` counts. */
int32_t sf_select(const sf_array *scores, const sf_array *masks, int64_t tensors, int64_t keep,
                  const sf_bounds *bounds, const int64_t *counts, const sf_units *units,
                  const int64_t *costs, sf_report *report, int64_t *layer_kept, sf_error *error);

/* Scans all bytes of the arrays once: *parity = the exclusive or of their 64-bit words. Words of an
   array are counted from its start, and its last word is filled up with zeros. The arrays hold
   floats or masks. For benchmarks: no selection from these arrays can take less time. */
int32_t sf_scan(const sf_array *arrays, int64_t tensors, uint64_t *parity, sf_error *error);

/* Creates a search over tensors of these sizes, and sets *search to its handle, which is above 0. A
   rank may have no tensors if there are others. */
int32_t sf_search_create(const sf_search_options *options, const int64_t *sizes, int64_t tensors,
                         int64_t *search, sf_error *error);
int32_t sf_search_step(int64_t search, const sf_step_arrays *arrays, sf_report *report,
                       int64_t *layer_kept, sf_error *error);
/* A search of one step, which needs no handle: options.steps is 1, options.total 0. */
int32_t sf_search_once(const sf_search_options *options, const sf_step_arrays *arrays,
                       sf_report *report, int64_t *layer_kept, sf_error *error);
/* Like sf_search_step, together with the other ranks. The masks are those that one search over the
   weights of all ranks would find. The report is about all ranks and equal on each; layer_kept is
   about the tensors of this rank, or about whole tensors if these are pieces. If one rank returns a
   status other than SF_OK, all do, unless that status is SF_EXCHANGE_FAILED, or `ranks` itself is
   invalid. */
int32_t sf_search_step_shared(int64_t search, const sf_step_arrays *arrays, const sf_ranks *ranks,
                              sf_report *report, int64_t *layer_kept, sf_error *error);
/* Sets *taken to the number of steps taken and *steps to that of all steps. keeps: NULL, or *steps
   counts. */
int32_t sf_search_state(int64_t search, int64_t *taken, int64_t *steps, int64_t *keeps,
                        sf_error *error);
/* The report of a step that this search has taken itself. Steps are numbered from 1, including
   those of an earlier search that it continues. layer_kept: NULL, or `tensors` counts. */
int32_t sf_search_report(int64_t search, int64_t step, sf_report *report, int64_t *layer_kept,
                         int64_t tensors, sf_error *error);
/* Sets *objective to the sum, over the weights that `masks` keep, of the search's scores without
   momentum and factor: S(c) of `force`, from gradients at the masked weights. Of the arrays only
   weights, gradients and masks are used, and none is written. SF_BAD_HYPERPARAMETER: the method
   scores without gradients. ranks: NULL, or the other ranks, which
   all call this. Errors as for sf_search_step_shared. */
int32_t sf_search_objective(int64_t search, const sf_step_arrays *arrays, const sf_ranks *ranks,
                            double *objective, sf_error *error);
int32_t sf_search_release(int64_t search, sf_error *error);

/* Creates a feed-forward classifier with weights drawn from the seed, and sets *network to its
   handle, which is above 0. input_shape: features, or channels, height and width of a sample (rank
   1 or 3); NULL with rank 0: the inputs of the first linear layer. */
int32_t sf_network_create(const sf_layer *layers, int64_t count, const int64_t *input_shape,
                          int64_t rank, uint64_t seed, int64_t *network, sf_error *error);
/* The number of elements of a sample, and of its logits. */
int32_t sf_network_sizes(int64_t network, int64_t *features, int64_t *classes, sf_error *error);
/* parameters: NULL, or `capacity` entries. Sets *count to the number of parameters. What `data` points
   to may be read and written between calls, by those who hold it. */
int32_t sf_network_parameters(int64_t network, sf_parameter *parameters, int64_t capacity,
                              int64_t *count, sf_error *error);
/* Sets *parameter to the parameter with a number, and makes its data valid until sf_network_end_hold
   is called as often as this was. A weight that is computed without its zeros has no such data
   otherwise. */
int32_t sf_network_hold(int64_t network, int64_t number, sf_parameter *parameter, sf_error *error);
/* May be called during another call on the network, and does not wait for it. */
int32_t sf_network_end_hold(int64_t network, int64_t number, sf_error *error);
/* Sets each of `count` numbers, one per parameter, to its largest magnitude; NaN if it has a NaN. */
int32_t sf_network_magnitudes(int64_t network, double *magnitudes, int64_t count, sf_error *error);
/* Keeps a copy of all parameters, in place of an earlier one, for sf_network_restore. */
int32_t sf_network_remember(int64_t network, sf_error *error);
/* Sets all parameters to those of the copy, except weights that are masked now: they become zero. */
int32_t sf_network_restore(int64_t network, sf_error *error);
/* Releases the copy. */
int32_t sf_network_forget(int64_t network, sf_error *error);
/* Writes the masks that are applied, one per prunable weight, and sets *applied to 1; or to 0 if
   there are none. */
int32_t sf_network_masks(int64_t network, const sf_array *masks, int64_t tensors, int32_t *applied,
                         sf_error *error);
/* masks: one per prunable weight, or NULL to remove all masks. Masked weights become exactly
   zero. sparse: 1 to compute over kept weights alone where that is faster, 0 to compute over all
   weights. */
int32_t sf_network_apply(int64_t network, const sf_array *masks, int64_t tensors, int32_t sparse,
                         sf_error *error);
/* What is computed over kept weights alone. plans: NULL, or `capacity` entries. Sets *count to the
   number of prunable weights, in whose order the entries are. */
int32_t sf_network_plan(int64_t network, sf_weight_plan *plans, int64_t capacity, int64_t *count,
                        sf_error *error);
/* Writes the gradients of the mean loss over the batch, one array per prunable weight, at the
   weights passed (NULL: the network's own). The network does not change. running: 1 to normalise
   with the running statistics, 0 with those of the batch. of_zeros: 0 if the gradients of weights
   that are zero are not needed and may be given as zeros; with weights that were passed. loss:
   position in sf_names(SF_AXIS_LOSS); its mean is in the result. temperature: divides the logits of
   the cross entropy; 1 for other losses. */
int32_t sf_network_gradients(int64_t network, const sf_array *weights, const sf_array *gradients,
                             int64_t tensors, const sf_batch *batch, int32_t running,
                             int32_t of_zeros, int32_t loss, double temperature,
                             sf_batch_result *result, sf_error *error);
/* Takes one step of stochastic gradient descent. The result is that of the batch before the
   step. */
int32_t sf_network_train(int64_t network, const sf_batch *batch, const sf_sgd *sgd,
                         sf_batch_result *result, sf_error *error);
/* Sets all momentum to zero. */
int32_t sf_network_reset(int64_t network, sf_error *error);
int32_t sf_network_evaluate(int64_t network, const sf_batch *batch, sf_batch_result *result,
                            sf_error *error);
/* logits: batch.count x classes, row by row. */
int32_t sf_network_forward(int64_t network, const sf_batch *batch, const sf_array *logits,
                           sf_error *error);
int32_t sf_network_release(int64_t network, sf_error *error);

/* Sets *limit to the largest density, in thousandths, at which a layer of these sizes is faster over
   kept weights alone; 0: there are no loops for it. */
int32_t sf_sparse_limit(const sf_sparse_sizes *sizes, int32_t *limit, sf_error *error);
/* Compiles the mask (outputs, inputs, rows.kernel, columns.kernel) of a layer, and sets *operation
   to a handle, which is above 0. */
int32_t sf_sparse_create(const sf_sparse_sizes *sizes, const sf_array *mask, int64_t *operation,
                         sf_error *error);
/* Writes the outputs of all samples. */
int32_t sf_sparse_forward(int64_t operation, const sf_sparse_arrays *arrays, sf_error *error);
/* Writes gradients. The gradient of the outputs must be zero, and the source finite, where there is
   no sample. */
int32_t sf_sparse_backward(int64_t operation, const sf_sparse_arrays *arrays, sf_error *error);
int32_t sf_sparse_release(int64_t operation, sf_error *error);

/* Writes the outputs of a dense layer, and what the backward pass needs; of a batch normalisation,
   which normalises by the batch, also the running statistics among its parameters. */
int32_t sf_layer_forward(const sf_layer_operation *operation, const sf_layer_arrays *arrays,
                         sf_error *error);
/* Writes gradients. That of the output must be zero where there is no sample. */
int32_t sf_layer_backward(const sf_layer_operation *operation, const sf_layer_arrays *arrays,
                          sf_error *error);

#ifdef __cplusplus
}
#endif
#endif
