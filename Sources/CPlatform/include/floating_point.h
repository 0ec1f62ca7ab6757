/* The floating-point environment of a thread: rounding, subnormal numbers, traps. What must not live
   here: when it is set (FloatingPoint.swift, Thread.swift). */
#ifndef SWIFTFORCE_FLOATING_POINT_H
#define SWIFTFORCE_FLOATING_POINT_H

#include <stdint.h>

/* The control and status registers of a thread. */
typedef struct {
  uint64_t control;
  uint64_t status;
} platform_floating_point;

/* Makes the calling thread compute as IEEE 754 says by default: to nearest, with subnormal numbers,
   without traps. Returns what was set before. */
platform_floating_point platform_use_ieee(void);

/* Sets the registers of the calling thread. */
void platform_use(platform_floating_point state);

#endif
