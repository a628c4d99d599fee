// The element loops of exact summation: magnitudes, and adding fp32 values rounded to one shared quantum.
#include "ExactSum.h"

#include <math.h>
#include <string.h>

#include "clones.h"

// Magnitudes are compared as integers: the order of non-negative IEEE numbers is that of their bits, and NaN comes out above infinity.
CLEAVE_CLONES
static uint32_t max_magnitude_bits_f32(const float *values, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits &= 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

CLEAVE_CLONES
static uint16_t max_magnitude_bits_bf16(const uint16_t *values, size_t count) {
    uint16_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits = values[i] & 0x7fffu;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static float magnitude_of(uint32_t bits) {
    float value;
    if (bits >= 0x7f800000u) return INFINITY;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float cleave_max_magnitude_f32(const float *values, size_t count) {
    return magnitude_of(max_magnitude_bits_f32(values, count));
}

float cleave_max_magnitude_bf16(const uint16_t *values, size_t count) {
    return magnitude_of((uint32_t)max_magnitude_bits_bf16(values, count) << 16);
}

CLEAVE_CLONES
void cleave_add_quantized(const float *restrict values, double *restrict sum, size_t count, double quantum, double inverse) {
    for (size_t i = 0; i < count; i++) sum[i] += rint((double)values[i] * inverse) * quantum;
}
