// Transposition of 16-bit elements, eight rows of eight at a time in registers.
#include "Transposition.h"

typedef uint16_t eight_u16 __attribute__((vector_size(16), aligned(2)));
typedef uint32_t four_u32 __attribute__((vector_size(16), aligned(2)));
typedef uint64_t two_u64 __attribute__((vector_size(16), aligned(2)));

#define LOW_16(a, b) ((four_u32)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11))
#define HIGH_16(a, b) ((four_u32)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15))
#define LOW_32(a, b) ((two_u64)__builtin_shufflevector(a, b, 0, 4, 1, 5))
#define HIGH_32(a, b) ((two_u64)__builtin_shufflevector(a, b, 2, 6, 3, 7))

// No clones: every x86-64 has these shuffles, and wider ones would only exchange more lanes.
static inline __attribute__((always_inline)) void transpose_eight(const uint16_t *source, size_t source_stride, uint16_t *target, size_t target_stride) {
    four_u32 pairs[8];
    two_u64 fours[8];
    for (int i = 0; i < 4; i++) {
        eight_u16 a = *(const eight_u16 *)(source + 2 * i * source_stride), b = *(const eight_u16 *)(source + (2 * i + 1) * source_stride);
        pairs[2 * i] = LOW_16(a, b);
        pairs[2 * i + 1] = HIGH_16(a, b);
    }
    for (int i = 0; i < 2; i++) {
        for (int half = 0; half < 2; half++) {
            four_u32 a = pairs[4 * i + half], b = pairs[4 * i + 2 + half];
            fours[4 * i + 2 * half] = LOW_32(a, b);
            fours[4 * i + 2 * half + 1] = HIGH_32(a, b);
        }
    }
    for (int column = 0; column < 8; column += 2) {
        two_u64 a = fours[column / 2], b = fours[4 + column / 2];
        *(two_u64 *)(target + column * target_stride) = __builtin_shufflevector(a, b, 0, 2);
        *(two_u64 *)(target + (column + 1) * target_stride) = __builtin_shufflevector(a, b, 1, 3);
    }
}

void cleave_transpose_16(const uint16_t *source, size_t source_stride, size_t rows, size_t columns, uint16_t *target, size_t target_stride) {
    // A square whose lines stay in cache until all of their elements have been moved.
    enum { SIDE = 32 };
    for (size_t top = 0; top < rows; top += SIDE) {
        for (size_t left = 0; left < columns; left += SIDE) {
            size_t height = top + SIDE < rows ? SIDE : rows - top, width = left + SIDE < columns ? SIDE : columns - left;
            const uint16_t *from = source + top * source_stride + left;
            uint16_t *to = target + left * target_stride + top;
            if (height < SIDE || width < SIDE) {
                for (size_t j = 0; j < width; j++) {
                    for (size_t i = 0; i < height; i++) to[j * target_stride + i] = from[i * source_stride + j];
                }
                continue;
            }
            for (size_t j = 0; j < SIDE; j += 8) {
                for (size_t i = 0; i < SIDE; i += 8) transpose_eight(from + i * source_stride + j, source_stride, to + j * target_stride + i, target_stride);
            }
        }
    }
}
