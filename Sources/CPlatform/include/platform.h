/* Facts about the machine and instructions that Swift has no interface for. What must not live here:
   anything about weights or networks. */
#ifndef SWIFTFORCE_PLATFORM_H
#define SWIFTFORCE_PLATFORM_H

#include "floating_point.h"
#include "library_calls.h"
#include "memory_reserve.h"
#include "vectors.h"

#include <stddef.h>

/* The highest of the x86-64 levels 2, 3 and 4 that this CPU and its operating system support. It is 2
   if none is supported, and on other architectures, which have one level only. */
int platform_cpu_level(void);

/* The number of CPUs that this process may run on; at least 1. */
int platform_cpu_count(void);

/* A number that no other living thread has; never 0. */
unsigned long platform_thread(void);

/* The number of this process. */
int platform_process(void);

/* The size of this machine's memory in bytes; 0 if it is unknown. */
long long platform_memory(void);

/* Sets a part of allocated memory to zero. It gives whole pages back to the system, where it can: they
   take no memory until they are used again. */
void platform_release_zeroed(void *memory, size_t bytes);

/* Prefetches the cache line at an address, which need not be valid. */
static inline void platform_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/* Tells the CPU that this is a spin loop, which waits for another thread. */
static inline void platform_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
