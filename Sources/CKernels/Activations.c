// The element loops of feed-forward activations.
#include "Activations.h"

#include "clones.h"
#include "exponential.h"

CLEAVE_CLONES
void cleave_relu(float *restrict values, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] = values[i] < 0.0f ? 0.0f : values[i];
}

CLEAVE_CLONES
void cleave_silu(float *restrict values, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] = values[i] / (1.0f + cleave_exp(-values[i]));
}

// Phi(-z sqrt 2) = erfc(z) / 2 = exp(-z^2) t P(t) / 2 with t = 1 / (1 + z / 2); P is a least-maximum fit on 0 <= z <= 9.5, good to 4e-7
// relative. Beyond, exp(-z^2) has left fp32's range.
static inline float upper_tail(float z) {
    float t = 1.0f / (1.0f + 0.5f * z);
    float p = -5.88917881e-2f;
    p = p * t + 2.83706754e-1f;
    p = p * t - 4.85393286e-1f;
    p = p * t + 2.75988668e-1f;
    p = p * t - 2.51845699e-2f;
    p = p * t + 2.02072591e-1f;
    p = p * t + 2.43260354e-1f;
    p = p * t + 2.82353580e-1f;
    p = p * t + 2.82087684e-1f;
    return 0.5f * cleave_exp(-z * z) * t * p;
}

CLEAVE_CLONES
void cleave_gelu(float *restrict values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float x = values[i];
        float tail = upper_tail((x < 0.0f ? -x : x) * 0.707106781f);
        values[i] = x * (x < 0.0f ? tail : 1.0f - tail);
    }
}

// (1 + tanh(y)) / 2 is the logistic function of 2 y, which needs no difference of nearly equal numbers.
CLEAVE_CLONES
void cleave_gelu_tanh(float *restrict values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float x = values[i];
        float y = 0.797884561f * (x + 0.044715f * x * x * x);
        values[i] = x / (1.0f + cleave_exp(-2.0f * y));
    }
}

// Near zero by the series, since the difference of the exponentials would cancel.
static inline float tanh_of(float x) {
    float y = x < -9.0f ? -9.0f : x > 9.0f ? 9.0f : x;
    float square = y * y;
    float series = y * (1.0f + square * (-0.333333333f + square * (0.133333333f + square * (-0.0539682540f + square * 0.0218694885f))));
    float e = cleave_exp(2.0f * y);
    return square < 0.04f ? series : (e - 1.0f) / (e + 1.0f);
}

CLEAVE_CLONES
void cleave_softcap(float *restrict values, size_t count, float factor, float cap) {
    for (size_t i = 0; i < count; i++) values[i] = cap * tanh_of(factor * values[i]);
}

CLEAVE_CLONES
void cleave_scale(float *restrict values, size_t count, float factor) {
    for (size_t i = 0; i < count; i++) values[i] *= factor;
}

CLEAVE_CLONES
void cleave_scale_and_add(float *restrict values, const float *restrict addend, size_t count, float factor) {
    for (size_t i = 0; i < count; i++) values[i] = factor * values[i] + addend[i];
}

CLEAVE_CLONES
void cleave_add(float *restrict values, const float *restrict addend, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] += addend[i];
}

CLEAVE_CLONES
void cleave_multiply(float *restrict values, const float *restrict factor, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] *= factor[i];
}
