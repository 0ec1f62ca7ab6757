/* Calls of a library with state of its own (OpenBLAS), which must not be under way when the process
   forks or ends, and which needs much memory for each thread that calls it. What must not live
   here: the calls themselves. */
#ifndef SWIFTFORCE_LIBRARY_CALLS_H
#define SWIFTFORCE_LIBRARY_CALLS_H

/* Announces calls on `most` threads at a time. Returns how many threads may call: `most`, or one if
   there is not enough memory for all, after waiting for calls of other threads if need be. A fork
   waits for the calls that were announced, and so does the end of the process. Once the process
   ends, this function does not return. */
int platform_begin_calls(int most);

/* The calls that were granted have returned. */
void platform_end_calls(int granted);

/* Makes the first call, once per process, so that the memory for one thread is there from then on.
   Returns 0 if it is not available, and 1 otherwise. */
int platform_first_call(void (*call)(void));

#endif
