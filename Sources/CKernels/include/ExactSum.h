// The element loops of exact summation: magnitudes, and adding fp32 values rounded to one shared quantum.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// The largest |x|; +infinity when any element is infinite or NaN.
float cleave_max_magnitude_f32(const float *values, size_t count);
float cleave_max_magnitude_bf16(const uint16_t *values, size_t count);

/// sum[i] += values[i] rounded (half to even) to a multiple of quantum, a power of two; inverse = 1 / quantum.
void cleave_add_quantized(const float *values, double *sum, size_t count, double quantum, double inverse);
