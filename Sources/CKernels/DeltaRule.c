// The element loops of linear attention by the gated delta rule.
#include "DeltaRule.h"

#include "clones.h"
#include "exponential.h"

CLEAVE_CLONES
void cleave_short_convolution(
    const float *input, size_t stride, size_t seen, const float *restrict weights, size_t taps, float *restrict result, size_t channels) {
    for (size_t c = 0; c < channels; c++) result[c] = 0.0f;
    size_t first = seen + 1 < taps ? taps - 1 - seen : 0;
    for (size_t tap = first; tap < taps; tap++) {
        const float *row = input - (taps - 1 - tap) * stride;
        for (size_t c = 0; c < channels; c++) result[c] += weights[c * taps + tap] * row[c];
    }
    for (size_t c = 0; c < channels; c++) result[c] = result[c] / (1.0f + cleave_exp(-result[c]));
}

CLEAVE_CLONES
void cleave_delta_step(
    float *restrict state, const float *restrict query, const float *restrict key, const float *restrict value, float decay, float beta,
    float *restrict change, float *restrict result, size_t keys, size_t values) {
    for (size_t j = 0; j < values; j++) {
        change[j] = 0.0f;
        result[j] = 0.0f;
    }
    for (size_t i = 0; i < keys; i++) {
        float *row = state + i * values;
        for (size_t j = 0; j < values; j++) {
            row[j] *= decay;
            change[j] += key[i] * row[j];
        }
    }
    for (size_t j = 0; j < values; j++) change[j] = beta * (value[j] - change[j]);
    for (size_t i = 0; i < keys; i++) {
        float *row = state + i * values;
        for (size_t j = 0; j < values; j++) {
            row[j] += key[i] * change[j];
            result[j] += query[i] * row[j];
        }
    }
}
