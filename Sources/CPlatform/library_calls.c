#include "library_calls.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* OpenBLAS maps 128 MiB for each thread that is in a product. If it cannot, it tries again for
   ever, so that the memory has to be known to be there before it is called. */
#define CALL_MEMORY ((size_t)136 << 20)

/* How long a fork or the end of the process waits for calls under way, in seconds. A product takes
   much less. */
#define PATIENCE 20

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int threads_inside;
static int called_before;
static int forks_waiting;
static int process_ends;

static void *map(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

/* Whether the library can map memory for `count` more threads. The only way to know is to map it:
   RLIMIT_AS, RLIMIT_DATA, and the kernel's accounting (vm.overcommit_memory) each may refuse it. */
static int has_memory(int count) {
  void *all = map(CALL_MEMORY * (size_t)count);
  if (all) {
    munmap(all, CALL_MEMORY * (size_t)count);
    return 1;
  }
  /* The kernel may refuse one mapping that is larger than the machine's memory, and allow many. */
  void *parts[1024];
  if (count == 1 || count > 1024) return 0;
  int mapped = 0;
  while (mapped < count && (parts[mapped] = map(CALL_MEMORY))) mapped++;
  for (int i = 0; i < mapped; i++) munmap(parts[i], CALL_MEMORY);
  return mapped == count;
}

int platform_begin_calls(int most) {
  pthread_mutex_lock(&mutex);
  int granted = 0;
  while (!granted) {
    if (process_ends) {
      pthread_mutex_unlock(&mutex);
      for (;;) pause();
    }
    if (forks_waiting) {
      pthread_cond_wait(&changed, &mutex);
      continue;
    }
    /* The memory of one thread is there since the first call. */
    int needed = threads_inside + most - 1;
    if (needed == 0 || has_memory(needed))
      granted = most;
    else if (threads_inside == 0)
      granted = 1;
    else
      pthread_cond_wait(&changed, &mutex);
  }
  threads_inside += granted;
  pthread_mutex_unlock(&mutex);
  return granted;
}

void platform_end_calls(int granted) {
  pthread_mutex_lock(&mutex);
  threads_inside -= granted;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

int platform_first_call(void (*call)(void)) {
  pthread_mutex_lock(&mutex);
  if (!called_before && !process_ends && has_memory(1)) {
    call();
    called_before = 1;
  }
  int is_ready = called_before || process_ends;
  pthread_mutex_unlock(&mutex);
  return is_ready;
}

/* Waits until no call is under way, with the mutex held, but not for ever. */
static void wait_for_calls(void) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE;
  while (threads_inside > 0 && pthread_cond_timedwait(&changed, &mutex, &end) == 0) continue;
}

/* At the end of a process OpenBLAS joins its threads and unmaps its memory: a call that is under
   way would crash, or the process would never end. */
static void before_exit(void) {
  pthread_mutex_lock(&mutex);
  process_ends = 1;
  wait_for_calls();
  pthread_mutex_unlock(&mutex);
}

/* A child of a fork has the locks of OpenBLAS as they were, and only the thread that forked. */
static void before_fork(void) {
  pthread_mutex_lock(&mutex);
  forks_waiting++;
  wait_for_calls();
}

static void after_fork(void) {
  forks_waiting--;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void) {
  pthread_mutex_init(&mutex, NULL);
  pthread_cond_init(&changed, NULL);
  threads_inside = 0;
  forks_waiting = 0;
}

/* The library is loaded before this one, so its own handlers run after these. */
__attribute__((constructor(202))) static void install(void) {
  atexit(before_exit);
  pthread_atfork(before_fork, after_fork, after_fork_in_child);
}
