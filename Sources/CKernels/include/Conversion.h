// Element-wise conversion between fp32 and the two 16-bit formats of checkpoints.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
void cleave_f32_to_bf16(const float *source, uint16_t *destination, size_t count);
void cleave_bf16_to_f32(const uint16_t *source, float *destination, size_t count);

/// Rounds to nearest, ties to even; overflows to infinity; keeps subnormals.
void cleave_f32_to_f16(const float *source, uint16_t *destination, size_t count);
void cleave_f16_to_f32(const uint16_t *source, float *destination, size_t count);
