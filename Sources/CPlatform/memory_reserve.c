#define _GNU_SOURCE
#include "memory_reserve.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* For what does not grow with the arguments of a call: tables of the Swift runtime, closures,
   texts, the objects of threads. */
#define FIXED ((size_t)1 << 20)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* What calls hold, the most recent first, in a ring that begins with the fixed amount. */
static platform_reserve held = {NULL, &held, &held, 1};
/* Whether the fixed amount was given away; most calls need to know nothing else. */
static atomic_int is_spent;

/* setup.py has the linker direct all allocations of the Swift runtime to the functions __wrap_...
   below, and the functions themselves to the names __real_... Where it does not (macOS, tests of
   Swift), nothing is ever taken from a reserve. */
#define REAL(type, name, arguments) extern type __real_##name arguments __attribute__((weak))
REAL(void *, malloc, (size_t));
REAL(void *, calloc, (size_t, size_t));
REAL(void *, realloc, (void *, size_t));
REAL(int, posix_memalign, (void **, size_t, size_t));

static void *allocate(size_t bytes) { return __real_malloc ? __real_malloc(bytes) : malloc(bytes); }

int platform_hold(platform_reserve *reserve, size_t bytes) {
  *reserve = (platform_reserve){NULL, NULL, NULL, 0};
  if (atomic_load_explicit(&is_spent, memory_order_relaxed)) {
    pthread_mutex_lock(&mutex);
    if (!held.memory) held.memory = allocate(FIXED);
    int is_available = held.memory != NULL;
    is_spent = !is_available;
    pthread_mutex_unlock(&mutex);
    if (!is_available) return 0;
  }
  if (bytes == 0) return 1;
  void *memory = allocate(bytes);
  if (!memory) return 0;
  pthread_mutex_lock(&mutex);
  *reserve = (platform_reserve){memory, &held, held.next, 1};
  held.next->previous = reserve;
  held.next = reserve;
  pthread_mutex_unlock(&mutex);
  return 1;
}

/* Takes a reserve out of the list, with the mutex held. Returns its memory. */
static void *take(platform_reserve *reserve) {
  void *memory = reserve->memory;
  reserve->memory = NULL;
  if (reserve == &held) {
    is_spent = 1;
  } else if (reserve->next) {
    reserve->previous->next = reserve->next;
    reserve->next->previous = reserve->previous;
    reserve->previous = reserve->next = NULL;
  }
  return memory;
}

void platform_let_go(platform_reserve *reserve) {
  if (!reserve->is_held) return;
  pthread_mutex_lock(&mutex);
  void *memory = take(reserve);
  pthread_mutex_unlock(&mutex);
  free(memory);
}

/* Releases one reserve: that of the most recent call, or the fixed one if no call holds any.
   Returns 0 if there is none. */
static int release_one(void) {
  pthread_mutex_lock(&mutex);
  platform_reserve *reserve = held.next != &held ? held.next : &held;
  void *memory = take(reserve);
  pthread_mutex_unlock(&mutex);
  free(memory);
  return memory != NULL;
}

void *platform_allocate(size_t alignment, size_t bytes) {
  void *memory = NULL;
  int status = __real_posix_memalign ? __real_posix_memalign(&memory, alignment, bytes)
                                     : posix_memalign(&memory, alignment, bytes);
  return status == 0 ? memory : NULL;
}

void *__wrap_malloc(size_t bytes) {
  void *memory = __real_malloc(bytes);
  while (!memory && bytes > 0 && release_one()) memory = __real_malloc(bytes);
  return memory;
}

void *__wrap_calloc(size_t count, size_t bytes) {
  void *memory = __real_calloc(count, bytes);
  while (!memory && count > 0 && bytes > 0 && release_one()) memory = __real_calloc(count, bytes);
  return memory;
}

void *__wrap_realloc(void *old, size_t bytes) {
  void *memory = __real_realloc(old, bytes);
  while (!memory && bytes > 0 && release_one()) memory = __real_realloc(old, bytes);
  return memory;
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
  int status = __real_posix_memalign(memory, alignment, bytes);
  while (status == ENOMEM && release_one())
    status = __real_posix_memalign(memory, alignment, bytes);
  return status;
}

/* The operators `new` of C++. */
void *__wrap__Znwm(size_t bytes) {
  void *memory = __wrap_malloc(bytes ? bytes : 1);
  if (!memory) abort();
  return memory;
}

void *__wrap__ZnwmSt11align_val_t(size_t bytes, size_t alignment) {
  void *memory = NULL;
  if (__wrap_posix_memalign(&memory, alignment, bytes) != 0) abort();
  return memory;
}

/* Another thread may have held the mutex, and threads that are gone hold nothing back. The memory
   of the calling thread's reserves is released when they are let go. */
static void before_fork(void) { pthread_mutex_lock(&mutex); }
static void after_fork(void) { pthread_mutex_unlock(&mutex); }
static void after_fork_in_child(void) {
  for (platform_reserve *one = held.next; one != &held;) {
    platform_reserve *next = one->next;
    one->previous = one->next = NULL;
    one = next;
  }
  held.previous = held.next = &held;
  pthread_mutex_init(&mutex, NULL);
}

/* Before the handlers of library_calls.c, whose fork handler therefore runs first and waits without
   this mutex. */
__attribute__((constructor(201))) static void install(void) {
  held.memory = allocate(FIXED);
  is_spent = held.memory == NULL;
  pthread_atfork(before_fork, after_fork, after_fork_in_child);
}
