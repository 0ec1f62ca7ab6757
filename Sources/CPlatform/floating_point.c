#include "floating_point.h"

/* x86-64: MXCSR, and the control word of the x87, which long double uses. MXCSR also holds the status
   flags of its exceptions. */
#if defined(__x86_64__)

#define DEFAULT_MXCSR 0x1F80u
#define DEFAULT_X87 0x037Fu

static uint32_t mxcsr(void) {
  uint32_t value;
  __asm__ volatile("stmxcsr %0" : "=m"(value));
  return value;
}

static void set(uint32_t mxcsr, uint16_t x87) {
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
  __asm__ volatile("fldcw %0" : : "m"(x87) : "memory");
}

platform_floating_point platform_use_ieee(void) {
  uint16_t x87;
  __asm__ volatile("fnstcw %0" : "=m"(x87));
  platform_floating_point before = {x87, mxcsr()};
  set(DEFAULT_MXCSR, DEFAULT_X87);
  return before;
}

void platform_use(platform_floating_point state) {
  set((uint32_t)state.status, (uint16_t)state.control);
}

#elif defined(__aarch64__)

platform_floating_point platform_use_ieee(void) {
  platform_floating_point before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before.control));
  __asm__ volatile("mrs %0, fpsr" : "=r"(before.status));
  platform_use((platform_floating_point){0, 0});
  return before;
}

void platform_use(platform_floating_point state) {
  __asm__ volatile("msr fpcr, %0" : : "r"(state.control) : "memory");
  __asm__ volatile("msr fpsr, %0" : : "r"(state.status) : "memory");
}

#else
#error "the floating-point registers of this architecture are not known"
#endif
