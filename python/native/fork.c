/* What a fork must tell the Swift runtime. */

#include "shim.h"

#ifdef __linux__

#include <pthread.h>

/* The runtime keeps the number that the kernel gave to each thread, and its locks hold that number.
   The thread that forks has another number in the child. With the old one, a lock that two threads
   want at the same time is refused by the kernel, and both try for ever. 0 makes the runtime ask
   again. The name is that of a variable of the runtime's `Threading` library, which is linked
   statically; if a version of Swift has no such variable, the link fails and this file has to be
   looked at. */
__attribute__((visibility("hidden"))) extern __thread unsigned runtime_thread __asm__(
    "_ZZN5swift14threading_impl5linux13ulock_get_tidEvE3tid");

static void forget_thread(void) { runtime_thread = 0; }

/* Once for the process, however many interpreters load the extension. */
__attribute__((constructor)) static void watch_forks(void) {
  pthread_atfork(NULL, NULL, forget_thread);
}

#endif
