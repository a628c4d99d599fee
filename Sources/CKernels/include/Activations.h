// The element loops of feed-forward activations.
#pragma once
#include <stddef.h>

/// values[i] = f(values[i]).
void cleave_relu(float *values, size_t count);
void cleave_silu(float *values, size_t count);
void cleave_gelu(float *values, size_t count);
void cleave_gelu_tanh(float *values, size_t count);

/// values[i] += addend[i].
void cleave_add(float *values, const float *addend, size_t count);

/// values[i] *= factor[i].
void cleave_multiply(float *values, const float *factor, size_t count);

/// values[i] = cap * tanh(factor * values[i]).
void cleave_softcap(float *values, size_t count, float factor, float cap);

/// values[i] *= factor.
void cleave_scale(float *values, size_t count, float factor);

/// values[i] = factor * values[i] + addend[i].
void cleave_scale_and_add(float *values, const float *addend, size_t count, float factor);
