/* Operations on vectors that take one to three instructions, and many if they are written in the
   vector types of Swift. Results are the same on every CPU level. What must not live here: memory and
   loops. */
#ifndef SWIFTFORCE_VECTORS_H
#define SWIFTFORCE_VECTORS_H

#include <stdint.h>

typedef float platform_float32x8 __attribute__((ext_vector_type(8)));
typedef int32_t platform_int32x8 __attribute__((ext_vector_type(8)));
typedef uint32_t platform_uint32x8 __attribute__((ext_vector_type(8)));
typedef uint16_t platform_uint16x8 __attribute__((ext_vector_type(8)));
typedef uint16_t platform_uint16x16 __attribute__((ext_vector_type(16)));
typedef uint8_t platform_uint8x8 __attribute__((ext_vector_type(8)));
typedef uint8_t platform_uint8x16 __attribute__((ext_vector_type(16)));
typedef uint8_t platform_uint8x64 __attribute__((ext_vector_type(64)));

#define PLATFORM_VECTORS static inline __attribute__((always_inline))

/* The lower halves of two vectors in turn: element i of the first, element i of the second. */
PLATFORM_VECTORS platform_uint16x16 platform_merged(platform_int32x8 first,
                                                    platform_int32x8 second) {
  return (platform_uint16x16)((first & 0xFFFF) | (second & ~0xFFFF));
}

/* The lower bytes of all elements of the first vector that was merged, then of the second. */
PLATFORM_VECTORS platform_uint8x16 platform_unmerged_bytes(platform_uint16x16 merged) {
  platform_uint8x16 bytes = __builtin_convertvector(merged, platform_uint8x16);
  return __builtin_shufflevector(bytes, bytes, 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
}

/* The same for vectors that hold quarters of sixteen elements: the first and third in one vector,
   the second and fourth in the other. */
PLATFORM_VECTORS platform_uint8x16 platform_unmerged_quarter_bytes(platform_uint16x16 merged) {
  platform_uint8x16 bytes = __builtin_convertvector(merged, platform_uint8x16);
  return __builtin_shufflevector(bytes, bytes, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
}

typedef _Bool platform_boolx64 __attribute__((ext_vector_type(64)));

/* A bit for each byte, the lowest for the first: whether it has a bit in common with another. */
PLATFORM_VECTORS uint64_t platform_bits_with(platform_uint8x64 bytes, uint8_t other) {
  return __builtin_bit_cast(uint64_t,
                            __builtin_convertvector((bytes & other) != 0, platform_boolx64));
}

/* A bit for each pair of bytes, the lowest for the first: whether they differ. */
PLATFORM_VECTORS uint64_t platform_bits_that_differ(platform_uint8x64 first,
                                                    platform_uint8x64 second) {
  return __builtin_bit_cast(uint64_t, __builtin_convertvector(first != second, platform_boolx64));
}

/* Bytes as integers of 32 bits. */
PLATFORM_VECTORS platform_int32x8 platform_widened_bytes(platform_uint8x8 bytes) {
  return __builtin_convertvector(bytes, platform_int32x8);
}

/* The values of the first and third quarter of sixteen bfloat16 numbers. A bfloat16 is the upper half
   of a binary32. Widening quarters takes one instruction where a CPU works on halves of a vector, and
   widening a half takes several. */
PLATFORM_VECTORS platform_float32x8 platform_widened_odd_quarters(platform_uint16x16 bits) {
  platform_uint16x16 zeros = 0;
  return (platform_float32x8)__builtin_shufflevector(
      zeros, bits, 0, 16, 0, 17, 0, 18, 0, 19, 8, 24, 8, 25, 8, 26, 8, 27);
}

/* The values of the second and fourth quarter. */
PLATFORM_VECTORS platform_float32x8 platform_widened_even_quarters(platform_uint16x16 bits) {
  platform_uint16x16 zeros = 0;
  return (platform_float32x8)__builtin_shufflevector(
      zeros, bits, 4, 20, 4, 21, 4, 22, 4, 23, 12, 28, 12, 29, 12, 30, 12, 31);
}

/* The first half of what lies in quarters: the first and second quarter. */
PLATFORM_VECTORS platform_int32x8 platform_first_half(platform_int32x8 odd, platform_int32x8 even) {
  return __builtin_shufflevector(odd, even, 0, 1, 2, 3, 8, 9, 10, 11);
}

/* The second half: the third and fourth quarter. */
PLATFORM_VECTORS platform_int32x8 platform_second_half(platform_int32x8 odd,
                                                       platform_int32x8 even) {
  return __builtin_shufflevector(odd, even, 4, 5, 6, 7, 12, 13, 14, 15);
}

/* The values of IEEE binary16 numbers. A NaN stays one, with other bits. */
PLATFORM_VECTORS platform_float32x8 platform_widened_float16(platform_uint16x8 bits) {
#if defined(__F16C__) || defined(__aarch64__)
  typedef _Float16 float16x8 __attribute__((ext_vector_type(8)));
  return __builtin_convertvector((float16x8)bits, platform_float32x8);
#else
  platform_uint32x8 wide = __builtin_convertvector(bits, platform_uint32x8);
  platform_uint32x8 magnitude = (wide & 0x7FFF) << 13;
  /* This product changes the exponent bias from 15 to 127. It is exact for every finite value,
     including subnormal ones. */
  platform_float32x8 scaled = (platform_float32x8)magnitude * 0x1p112f;
  platform_uint32x8 special = (platform_uint32x8)(magnitude >= 0x0F800000) & 0x7F800000;
  return (platform_float32x8)((platform_uint32x8)scaled | special | (wide & 0x8000) << 16);
#endif
}

#undef PLATFORM_VECTORS

#endif
