// The number nearest to a weight over its scale, and its code: the innermost step of every loop that rounds.
//
// `type` is a constant wherever these are inlined, so that each type has loops of its own.
#pragma once
#include "include/SmallNumbers.h"
#include "lanes.h"

/// Of a floating-point type: bits of the fraction, the exponent's bias, the largest number.
typedef struct {
    int fraction, bias;
    float most;
} small_float;

static const small_float e4m3 = {3, 7, 448}, e2m1 = {1, 1, 6};

/// x rounded half to even, and cut off at the largest number. Its sign is kept, of zero too.
CLEAVE_INLINE lanes_f32 nearest_float(lanes_f32 x, small_float type) {
    const int shift = 23 - type.fraction;
    // The step between subnormal numbers is the last bit of 2^23 steps, so adding them rounds to multiples of it.
    const float least = 2.0f / (float)(1 << type.bias), many = 0x1p23f / (float)(1 << (type.bias - 1 + type.fraction));
    lanes_i32 bits = (lanes_i32)x, magnitude = bits & 0x7fffffff, sign = bits ^ magnitude;
    lanes_f32 m = __builtin_elementwise_min((lanes_f32)magnitude, splat(type.most));
    lanes_i32 b = (lanes_i32)m;
    lanes_f32 normal = (lanes_f32)((b + ((1 << (shift - 1)) - 1) + ((b >> shift) & 1)) & ~((1 << shift) - 1));
    lanes_i32 rounded = (lanes_i32)choose(m < least, (m + many) - many, normal);
    return (lanes_f32)(rounded | sign);
}

/// The code of a number of the type: sign, exponent, fraction.
CLEAVE_INLINE lanes_i32 float_code(lanes_f32 number, small_float type, int bits) {
    const float least = 2.0f / (float)(1 << type.bias), steps = (float)(1 << (type.bias - 1 + type.fraction));
    lanes_i32 all = (lanes_i32)number, magnitude = all & 0x7fffffff;
    lanes_f32 m = (lanes_f32)magnitude;
    lanes_i32 normal = (magnitude >> (23 - type.fraction)) - ((127 - type.bias) << type.fraction);
    lanes_i32 subnormal = __builtin_convertvector(m * steps, lanes_i32);
    lanes_i32 isSubnormal = m < least;
    return (subnormal & isSubnormal) | (normal & ~isSubnormal) | (((all >> 31) & 1) << (bits - 1));
}

/// What the scale multiplies: the number nearest to x = v / scale. `codes`, where not NULL, takes the numbers' codes.
CLEAVE_INLINE lanes_f32 nearest(lanes_f32 x, lanes_f32 zero, int type, float max_code, lanes_u8 *codes) {
    if (type == cleave_integers) {
        lanes_f32 code = __builtin_elementwise_rint(x) + zero;
        code = __builtin_elementwise_min(__builtin_elementwise_max(code, splat(0)), splat(max_code));
        if (codes) *codes = __builtin_convertvector(code, lanes_u8);
        return code - zero;
    }
    lanes_f32 number = nearest_float(x, type == cleave_e4m3 ? e4m3 : e2m1);
    if (codes) *codes = __builtin_convertvector(type == cleave_e4m3 ? float_code(number, e4m3, 8) : float_code(number, e2m1, 4), lanes_u8);
    return number;
}

/// The code for which scale * code - offset is nearest to v; 0 where all codes stand for one number.
CLEAVE_INLINE lanes_f32 block_code(lanes_f32 v, lanes_f32 scale, lanes_f32 offset, float max_code) {
    lanes_f32 code = choose(scale == splat(0), splat(0), __builtin_elementwise_rint((v + offset) / scale));
    return __builtin_elementwise_min(__builtin_elementwise_max(code, splat(0)), splat(max_code));
}

/// What the scale multiplies in a block of a type before the offset is taken away, so that it is nearest to v, and its code. In the middle between two of
/// IQ4_NL's numbers the lesser one is taken.
CLEAVE_INLINE lanes_f32 block_number(lanes_f32 v, lanes_f32 scale, lanes_f32 offset, int type, float max_code, lanes_f32 *code) {
    if (type != cleave_iq4_nl_blocks) return *code = block_code(v, scale, offset, max_code);
    lanes_f32 x = choose(scale == splat(0), splat(0), v / scale), number = splat(cleave_iq4_nl_numbers[0]), place = splat(0);
#pragma clang loop unroll(full)
    for (int i = 1; i < 16; i++) {
        lanes_i32 is_above = x > splat((cleave_iq4_nl_numbers[i - 1] + cleave_iq4_nl_numbers[i]) / 2);
        number = choose(is_above, splat(cleave_iq4_nl_numbers[i]), number);
        place = choose(is_above, splat((float)i), place);
    }
    *code = place;
    return number;
}

/// The one of 0, low and high (codes 0, 1, 2) that is nearest to v; 0 half-way. Where low or high is 0 itself, its code is not used.
///
/// Source: GPTQ, `quant.py`, `quantize` of three levels.
CLEAVE_INLINE lanes_f32 nearest_ternary(lanes_f32 v, lanes_f32 low, lanes_f32 high, lanes_u8 *codes) {
    lanes_i32 is_low = (v < low * 0.5f) & (low < splat(0)), is_high = (v > high * 0.5f) & (high > splat(0));
    *codes = __builtin_convertvector((is_low & 1) | (is_high & 2), lanes_u8);
    return choose(is_low, low, choose(is_high, high, splat(0)));
}

/// Calls a function that is inlined with the type as a constant; blocks and ternary numbers have loops of their own.
#define WITH_TYPE(numbers, call)                                                                                                                     \
    switch ((numbers).type) {                                                                                                                        \
    case cleave_e4m3: call(cleave_e4m3); break;                                                                                                      \
    case cleave_e2m1: call(cleave_e2m1); break;                                                                                                      \
    default: call(cleave_integers); break;                                                                                                           \
    }
