// Operations on one row of activations: normalisation, rotation, softmax.
//
// Sums run over fixed lanes, so that vectors of any width, and none, add in the same order.
#include "Rows.h"

#include <math.h>
#include <stdint.h>

#include "clones.h"
#include "exponential.h"

enum { LANES = 16 };
// The compiler cuts it into the registers of the clone's instruction set.
typedef float sixteen_f32 __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t sixteen_i32 __attribute__((vector_size(4 * LANES), aligned(4)));

// The sum of `term` over all x of the values: a term of floats and of lanes alike.
#define SUM_IN_LANES(values, count, term)                                          \
    ({                                                                             \
        sixteen_f32 lanes = {0};                                                     \
        size_t whole = (count) / LANES * LANES;                                    \
        for (size_t i = 0; i < whole; i += LANES) {                                \
            sixteen_f32 x = *(const sixteen_f32 *)((values) + i);                      \
            lanes += (term);                                                       \
        }                                                                          \
        for (size_t i = whole; i < (count); i++) {                                 \
            float x = (values)[i];                                                 \
            lanes[i - whole] += (term);                                            \
        }                                                                          \
        float sum = 0;                                                             \
        for (int j = 0; j < LANES; j++) sum += lanes[j];                           \
        sum;                                                                       \
    })

CLEAVE_CLONES
void cleave_rms_norm(const float *values, const float *weight, float *result, size_t count, float epsilon) {
    float factor = 1.0f / sqrtf(SUM_IN_LANES(values, count, x * x) / (float)count + epsilon);
    for (size_t i = 0; i < count; i++) result[i] = values[i] * factor * weight[i];
}

CLEAVE_CLONES
void cleave_layer_norm(const float *values, const float *weight, const float *bias, float *result, size_t count, float epsilon) {
    float mean = SUM_IN_LANES(values, count, x) / (float)count;
    float factor = 1.0f / sqrtf(SUM_IN_LANES(values, count, (x - mean) * (x - mean)) / (float)count + epsilon);
    if (bias) {
        for (size_t i = 0; i < count; i++) result[i] = (values[i] - mean) * factor * weight[i] + bias[i];
    } else {
        for (size_t i = 0; i < count; i++) result[i] = (values[i] - mean) * factor * weight[i];
    }
}

CLEAVE_CLONES
void cleave_rotate(float *restrict values, const float *restrict cosines, const float *restrict sines, size_t half) {
    for (size_t i = 0; i < half; i++) {
        float first = values[i], second = values[i + half];
        values[i] = first * cosines[i] - second * sines[i];
        values[i + half] = second * cosines[i] + first * sines[i];
    }
}

CLEAVE_CLONES
void cleave_rotate_interleaved(float *restrict values, const float *restrict cosines, const float *restrict sines, size_t half) {
    for (size_t i = 0; i < half; i++) {
        float first = values[2 * i], second = values[2 * i + 1];
        values[2 * i] = first * cosines[i] - second * sines[i];
        values[2 * i + 1] = second * cosines[i] + first * sines[i];
    }
}

static inline __attribute__((always_inline)) float largest_of(const float *values, size_t count) {
    sixteen_f32 lanes = (sixteen_f32){0} - INFINITY;
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        sixteen_f32 x = *(const sixteen_f32 *)(values + i);
        sixteen_i32 larger = x > lanes;
        lanes = (sixteen_f32)(((sixteen_i32)x & larger) | ((sixteen_i32)lanes & ~larger));
    }
    float largest = -INFINITY;
    for (int j = 0; j < LANES; j++) largest = lanes[j] > largest ? lanes[j] : largest;
    for (size_t i = whole; i < count; i++) largest = values[i] > largest ? values[i] : largest;
    return largest;
}

CLEAVE_CLONES
void cleave_softmax(float *restrict values, size_t count, float scale) {
    float largest = largest_of(values, count);
    for (size_t i = 0; i < count; i++) values[i] = cleave_exp(scale * (values[i] - largest));
    float factor = 1.0f / SUM_IN_LANES(values, count, x);
    for (size_t i = 0; i < count; i++) values[i] *= factor;
}

CLEAVE_CLONES
double cleave_log_sum_exp(const float *restrict values, size_t count) {
    float largest = largest_of(values, count);
    double lanes[LANES] = {0};
    for (size_t i = 0; i < count; i += LANES) {
        for (size_t j = 0; j < LANES && i + j < count; j++) lanes[j] += (double)cleave_exp(values[i + j] - largest);
    }
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return (double)largest + log(sum);
}
