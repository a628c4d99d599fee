// Rounding to the two 16-bit formats of checkpoints, all lanes at once.
#pragma once
#include "include/ColumnLoop.h"
#include "lanes.h"

/// v rounded to a 16-bit format, half to even. See Conversion.c for the steps of f16.
CLEAVE_INLINE lanes_f32 rounded(lanes_f32 v, int type) {
    lanes_i32 bits = (lanes_i32)v, magnitude = bits & 0x7fffffff, sign = bits ^ magnitude;
    if (type == cleave_bf16) return (lanes_f32)(sign | ((magnitude + 0x7fff + ((magnitude >> 16) & 1)) & 0x7fff0000));
    if (type == cleave_f16) {
        lanes_f32 normal = (lanes_f32)((magnitude + 0xfff + ((magnitude >> 13) & 1)) & 0x7fffe000);
        // The last bit of 0.5 is the least subnormal number, so the addition rounds to multiples of it.
        lanes_f32 result = choose(magnitude < 0x38800000, ((lanes_f32)magnitude + 0.5f) - 0.5f, normal);
        return (lanes_f32)(sign | (lanes_i32)choose(magnitude >= 0x477ff000, splat(__builtin_inff()), result));
    }
    return v;
}
