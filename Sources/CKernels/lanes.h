// Thirty-two rows side by side: the unit of the kernels that walk down the columns of a transposed tile.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CLEAVE_LANES 32
#define CLEAVE_INLINE static inline __attribute__((always_inline))

// Helpers that take and return vectors are always inlined, so how such vectors are passed never matters.
#pragma clang diagnostic ignored "-Wpsabi"

// The compiler cuts a vector of this width into the registers of the clone's instruction set; every lane sees the same operations in each.
typedef float lanes_f32 __attribute__((vector_size(4 * CLEAVE_LANES), aligned(4)));
typedef double lanes_f64 __attribute__((vector_size(8 * CLEAVE_LANES), aligned(8)));
typedef int32_t lanes_i32 __attribute__((vector_size(4 * CLEAVE_LANES), aligned(4)));
typedef uint8_t lanes_u8 __attribute__((vector_size(CLEAVE_LANES), aligned(1)));

#define LOAD(pointer) (*(const lanes_f32 *)(pointer))
#define STORE(pointer, value) (*(lanes_f32 *)(pointer) = (value))
#define LOAD_F64(pointer) (*(const lanes_f64 *)(pointer))
#define STORE_F64(pointer, value) (*(lanes_f64 *)(pointer) = (value))

CLEAVE_INLINE lanes_f32 splat(float value) {
    return (lanes_f32){0} + value;
}

/// Where the mask's lanes are -1, a; where they are 0, b.
CLEAVE_INLINE lanes_f32 choose(lanes_i32 mask, lanes_f32 a, lanes_f32 b) {
    return (lanes_f32)(((lanes_i32)a & mask) | ((lanes_i32)b & ~mask));
}

/// The mask of lanes whose byte is not 0.
CLEAVE_INLINE lanes_i32 kept_lanes(const uint8_t *kept) {
    return __builtin_convertvector(*(const lanes_u8 *)kept, lanes_i32) != 0;
}

/// Whether a is less than b in any lane.
CLEAVE_INLINE int any_below(lanes_f64 a, lanes_f64 b) {
    return __builtin_reduce_min(a - b) < 0;
}

/// The code of v on a grid, as a float: round half to even, then clamp to 0 ... maxq.
CLEAVE_INLINE lanes_f32 code_of(lanes_f32 v, lanes_f32 scale, lanes_f32 zero, float maxq) {
    lanes_f32 code = __builtin_elementwise_rint(v / scale) + zero;
    code = __builtin_elementwise_max(code, splat(0));
    return __builtin_elementwise_min(code, splat(maxq));
}
