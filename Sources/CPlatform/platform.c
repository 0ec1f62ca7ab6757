#define _GNU_SOURCE
#include "platform.h"

#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

int platform_cpu_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int level_3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("f16c");
  int level_4 = level_3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
  return level_4 ? 4 : level_3 ? 3 : 2;
#else
  return 2;
#endif
}

int platform_cpu_count(void) {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    int count = CPU_COUNT(&allowed);
    if (count > 0) return count;
  }
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

long long platform_memory(void) {
  long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? (long long)pages * size : 0;
}

void platform_release_zeroed(void *memory, size_t bytes) {
  char *start = memory, *end = start + bytes;
#ifdef __linux__
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  char *first = (char *)(((uintptr_t)start + page - 1) / page * page);
  char *last = (char *)((uintptr_t)end / page * page);
  /* What is allocated here is private and has no file: the pages that come next are zeros. */
  if (first < last && madvise(first, (size_t)(last - first), MADV_DONTNEED) == 0) {
    memset(start, 0, (size_t)(first - start));
    start = last;
  }
#endif
  memset(start, 0, (size_t)(end - start));
}

int platform_process(void) { return (int)getpid(); }

unsigned long platform_thread(void) {
  static _Thread_local char here;
  return (unsigned long)&here;
}
