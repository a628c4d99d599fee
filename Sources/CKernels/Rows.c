// Operations on one row of activations: normalisation, rotation, softmax.
//
// Sums run over fixed lanes, so that vectors of any width, and none, add in the same order.
#include "Rows.h"

#include <math.h>

#include "clones.h"
#include "exponential.h"

enum { LANES = 16 };

static inline float sum_lanes(const float *lanes) {
    float sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

// The statement sees element i as `x` and its lane as `lane`.
#define FOR_EACH_IN_LANES(values, count, statement)                              \
    do {                                                                         \
        size_t whole = (count) / LANES * LANES;                                  \
        for (size_t i = 0; i < whole; i += LANES) {                              \
            for (int j = 0; j < LANES; j++) {                                    \
                float x = (values)[i + j];                                       \
                int lane = j;                                                    \
                statement;                                                       \
            }                                                                    \
        }                                                                        \
        for (size_t i = whole; i < (count); i++) {                               \
            float x = (values)[i];                                               \
            int lane = (int)(i - whole);                                         \
            statement;                                                           \
        }                                                                        \
    } while (0)

CLEAVE_CLONES
void cleave_rms_norm(const float *values, const float *weight, float *result, size_t count, float epsilon) {
    float lanes[LANES] = {0};
    FOR_EACH_IN_LANES(values, count, lanes[lane] += x * x);
    float factor = 1.0f / sqrtf(sum_lanes(lanes) / (float)count + epsilon);
    for (size_t i = 0; i < count; i++) result[i] = values[i] * factor * weight[i];
}

CLEAVE_CLONES
void cleave_layer_norm(const float *values, const float *weight, const float *bias, float *result, size_t count, float epsilon) {
    float sums[LANES] = {0};
    FOR_EACH_IN_LANES(values, count, sums[lane] += x);
    float mean = sum_lanes(sums) / (float)count;
    float squares[LANES] = {0};
    FOR_EACH_IN_LANES(values, count, squares[lane] += (x - mean) * (x - mean));
    float factor = 1.0f / sqrtf(sum_lanes(squares) / (float)count + epsilon);
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

static inline float largest_of(const float *values, size_t count) {
    float lanes[LANES];
    for (int j = 0; j < LANES; j++) lanes[j] = -INFINITY;
    FOR_EACH_IN_LANES(values, count, lanes[lane] = x > lanes[lane] ? x : lanes[lane]);
    float largest = lanes[0];
    for (int j = 1; j < LANES; j++) largest = lanes[j] > largest ? lanes[j] : largest;
    return largest;
}

CLEAVE_CLONES
void cleave_softmax(float *restrict values, size_t count, float scale) {
    float largest = largest_of(values, count);
    for (size_t i = 0; i < count; i++) values[i] = cleave_exp(scale * (values[i] - largest));
    float lanes[LANES] = {0};
    FOR_EACH_IN_LANES(values, count, lanes[lane] += x);
    float factor = 1.0f / sum_lanes(lanes);
    for (size_t i = 0; i < count; i++) values[i] *= factor;
}

CLEAVE_CLONES
double cleave_log_sum_exp(const float *restrict values, size_t count) {
    float largest = largest_of(values, count);
    double lanes[LANES] = {0};
    FOR_EACH_IN_LANES(values, count, lanes[lane] += (double)cleave_exp(x - largest));
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return (double)largest + log(sum);
}
