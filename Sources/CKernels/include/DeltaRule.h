// The element loops of linear attention by the gated delta rule.
#pragma once
#include <stddef.h>

/// A causal convolution of each channel by itself, then SiLU: with y = sum_j weights[c, j] x[j - taps + 1, c], result[c] = y / (1 + exp(-y)).
/// @param input of the token: [channels]; the rows of earlier tokens lie before it.
/// @param stride numbers from a row to the next.
/// @param seen earlier tokens that there are; what would lie before them is 0.
/// @param weights [channels, taps]
void cleave_short_convolution(const float *input, size_t stride, size_t seen, const float *weights, size_t taps, float *result, size_t channels);

/// A token's step: S = decay S; d = beta (value - S^T key); S = S + key d^T; result = S^T query.
/// @param state S: [keys, values]
/// @param change room for d: [values]
void cleave_delta_step(
    float *state, const float *query, const float *key, const float *value, float decay, float beta, float *change, float *result, size_t keys,
    size_t values);
