// Operations on one row of activations: normalisation, rotation, softmax.
#pragma once
#include <stddef.h>

/// result[i] = values[i] / sqrt(mean(values^2) + epsilon) * weight[i]; result may be values.
void cleave_rms_norm(const float *values, const float *weight, float *result, size_t count, float epsilon);

/// result[i] = (values[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i]; bias may be null; result may be values.
void cleave_layer_norm(const float *values, const float *weight, const float *bias, float *result, size_t count, float epsilon);

/// Rotates each pair (values[i], values[i + half]) by the angle whose cosine and sine are cosines[i] and sines[i].
void cleave_rotate(float *values, const float *cosines, const float *sines, size_t half);

/// Rotates each pair (values[2 i], values[2 i + 1]) in the same way.
void cleave_rotate_interleaved(float *values, const float *cosines, const float *sines, size_t half);

/// values[i] = exp(scale * values[i]) / sum of exp(scale * values), for scale > 0.
void cleave_softmax(float *values, size_t count, float scale);

/// log of the sum of exp(values), summed in fp64.
double cleave_log_sum_exp(const float *values, size_t count);
