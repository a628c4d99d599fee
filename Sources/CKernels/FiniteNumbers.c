// Finding infinities and NaN among numbers as they lie in checkpoint files.
#include "FiniteNumbers.h"

#include "clones.h"

typedef uint16_t unaligned_u16 __attribute__((aligned(1)));
typedef uint32_t unaligned_u32 __attribute__((aligned(1)));

// Numbers between two looks at what was found: enough for vectors, few enough to search one by one.
enum { STRIDE = 1024 };

#define FIRST_NOT_FINITE(type, numbers, count, exponent)                                         \
    for (size_t start = 0; start < (count); start += STRIDE) {                                   \
        size_t end = start + STRIDE < (count) ? start + STRIDE : (count);                        \
        type found = 0;                                                                          \
        for (size_t i = start; i < end; i++) found |= ((numbers)[i] & (exponent)) == (exponent); \
        if (!found) continue;                                                                    \
        for (size_t i = start; i < end; i++) {                                                   \
            if (((numbers)[i] & (exponent)) == (exponent)) return i;                             \
        }                                                                                        \
    }                                                                                            \
    return (count)

CLEAVE_CLONES
size_t cleave_first_not_finite_8(const void *numbers, size_t count, uint8_t exponent) {
    const uint8_t *values = numbers;
    FIRST_NOT_FINITE(uint8_t, values, count, exponent);
}

CLEAVE_CLONES
size_t cleave_first_not_finite_16(const void *numbers, size_t count, uint16_t exponent) {
    const unaligned_u16 *values = numbers;
    FIRST_NOT_FINITE(uint16_t, values, count, exponent);
}

CLEAVE_CLONES
size_t cleave_first_not_finite_32(const void *numbers, size_t count, uint32_t exponent) {
    const unaligned_u32 *values = numbers;
    FIRST_NOT_FINITE(uint32_t, values, count, exponent);
}
