/* Memory that is held back for a call. Swift cannot report that an allocation failed: it ends the
   process. So a call holds back, before it begins, as much as it may need, and the first allocation
   that fails gets it.

   This has limits. Between the release of a reserve and the allocation that failed, another thread
   may take the memory. One call may get what another holds. And what is held is not written to:
   where the kernel promises more memory than there is (vm.overcommit_memory 0 or 1), or a cgroup
   has a limit, it may still end the process when memory is first used.

   What must not live here: how much a call needs. */
#ifndef SWIFTFORCE_MEMORY_RESERVE_H
#define SWIFTFORCE_MEMORY_RESERVE_H

#include <stddef.h>

/* The memory that one call holds back. It stays where it is while it is held. */
typedef struct platform_reserve {
  void *memory; /* NULL: an allocation got it */
  struct platform_reserve *previous, *next;
  int is_held; /* written by the thread of the call alone */
} platform_reserve;

/* Holds back so many bytes, besides a fixed amount that every call may use. Returns 1; or 0 if that
   much is not available, and then nothing is held. */
int platform_hold(platform_reserve *reserve, size_t bytes);

/* Gives back what is left. */
void platform_let_go(platform_reserve *reserve);

/* Allocates memory that is not zeroed, and takes none that is held back. Returns NULL if there is
   none. `bytes` must be a multiple of `alignment`; the memory is released with free(). */
void *platform_allocate(size_t alignment, size_t bytes);

#endif
