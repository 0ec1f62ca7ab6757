/* What Swift cannot ask of the machine by itself. */
#ifndef SWIFTFORCE_PLATFORM_H
#define SWIFTFORCE_PLATFORM_H

/* The highest of the x86-64 levels 2, 3 and 4 whose instructions this CPU and its operating system
   support; 2 where none is, and on other architectures, which have one level only. */
int platform_cpu_level(void);

/* How many CPUs this process may run on; at least 1. */
int platform_cpu_count(void);

/* A number that no other living thread has; never 0. */
unsigned long platform_thread(void);

/* Bytes of memory that this machine has; 0 where that cannot be told. */
long long platform_memory(void);

/* Asks for the memory at an address, which need not be valid, to be brought into the cache. */
static inline void platform_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/* A short rest in a loop that waits for another thread. */
static inline void platform_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
