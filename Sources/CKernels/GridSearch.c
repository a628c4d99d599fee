// The loops that find the grid of one group of columns, all rows at once.
#include "GridSearch.h"

#include "clones.h"
#include "lanes.h"
#include "nearest.h"

CLEAVE_CLONES
void cleave_range(const float *values, size_t columns, size_t rows, float *low, float *high) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 least = splat(0), most = splat(0);
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 x = LOAD(values + j * rows + row);
            least = __builtin_elementwise_min(least, x);
            most = __builtin_elementwise_max(most, x);
        }
        lanes_i32 empty = (least == 0) & (most == 0);
        STORE(low + row, choose(empty, splat(-1), least));
        STORE(high + row, choose(empty, splat(1), most));
    }
}

CLEAVE_CLONES
void cleave_scales(const float *low, const float *high, const float *shrink, float maxq, float *scales, size_t rows) {
    for (size_t i = 0; i < rows; i++) scales[i] = (shrink[i] * high[i] - shrink[i] * low[i]) / maxq;
}

CLEAVE_CLONES
void cleave_zeros(
    const float *low, const float *shrink, float maxq, int symmetric, float least, float most, float *scales, float *zeros, size_t rows) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_i32 bits = (lanes_i32)LOAD(scales + row), magnitude = bits & 0x7fffffff;
        lanes_f32 clamped = __builtin_elementwise_min(__builtin_elementwise_max((lanes_f32)magnitude, splat(least)), splat(most));
        lanes_f32 scale = (lanes_f32)((lanes_i32)clamped | (bits ^ magnitude));
        lanes_f32 zero = __builtin_elementwise_rint(-LOAD(shrink + row) * LOAD(low + row) / scale);
        zero = __builtin_elementwise_min(__builtin_elementwise_max(zero, splat(0)), splat(maxq));
        STORE(scales + row, scale);
        STORE(zeros + row, symmetric ? splat((maxq + 1) / 2) : zero);
    }
}

CLEAVE_INLINE lanes_f32 error_of(lanes_f32 x, lanes_f32 scale, lanes_f32 zero, int type, float maxq) {
    return x - scale * nearest(x / scale, zero, type, maxq, NULL);
}

/// |x|^2.4, relative error about 1e-6; 0 below 2^-50, constant above 2^50.
CLEAVE_INLINE lanes_f32 power_2_4(lanes_f32 x) {
    // |x| = m 2^e with m in [sqrt(1/2), sqrt(2))
    lanes_i32 bits = __builtin_elementwise_min((lanes_i32)x & 0x7fffffff, (lanes_i32)splat(0x1p50f));
    lanes_i32 shifted = bits - 0x3f3504f3;
    lanes_i32 e = shifted >> 23;
    lanes_f32 m = (lanes_f32)(bits - (e << 23));
    // log2 m = 2 / ln 2 artanh(s)
    lanes_f32 s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    lanes_f32 log2m = s * (2.88539008f + s2 * (0.961796694f + s2 * (0.577078016f + s2 * (0.412198583f + s2 * 0.320598898f))));
    // 2.4 e = k + r / 5 with whole k and r, so that the large part of the exponent stays exact
    lanes_f32 twelve = 12.0f * __builtin_convertvector(e, lanes_f32);
    lanes_f32 k = __builtin_elementwise_rint(twelve * 0.2f);
    lanes_f32 y = (twelve - 5.0f * k) * 0.2f + 2.4f * log2m;
    lanes_f32 n = __builtin_elementwise_rint(y), g = y - n;
    // 2^g by its Taylor series, |g| <= 1/2
    lanes_f32 p = 1.0f
        + g * (0.693147181f
            + g * (0.240226507f
                + g * (0.0555041087f + g * (0.00961812911f + g * (0.00133335581f + g * (0.000154035304f + g * 1.52527338e-05f))))));
    lanes_i32 exponent = __builtin_convertvector(k + n, lanes_i32);
    lanes_f32 result = (lanes_f32)((lanes_i32)p + (exponent << 23));
    return choose(e < -50, splat(0), result);
}

CLEAVE_INLINE void power_error(
    const float *values, size_t columns, size_t rows, const float *scales, const float *zeros, int type, float maxq, const double *best,
    double *errors) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 scale = LOAD(scales + row), zero = LOAD(zeros + row);
        lanes_f64 limit = LOAD_F64(best + row), total = LOAD_F64(errors + row);
        for (size_t first = 0; first < columns && any_below(total, limit); first += 8) {
            size_t end = first + 8 < columns ? first + 8 : columns;
            lanes_f32 sum = splat(0);
            for (size_t j = first; j < end; j++) sum += power_2_4(error_of(LOAD(values + j * rows + row), scale, zero, type, maxq));
            total += __builtin_convertvector(sum, lanes_f64);
        }
        STORE_F64(errors + row, total);
    }
}

CLEAVE_CLONES
void cleave_power_error(
    const float *values, size_t columns, size_t rows, const float *scales, const float *zeros, cleave_numbers numbers, const double *best,
    double *errors) {
#define ADD(type) power_error(values, columns, rows, scales, zeros, type, numbers.max_code, best, errors)
    WITH_TYPE(numbers, ADD)
#undef ADD
}

CLEAVE_INLINE void weighted_error(
    const float *values, size_t columns, size_t rows, const float *weights, const float *scales, const float *zeros, int type, float maxq,
    const double *best, double *errors) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 scale = LOAD(scales + row), inverse = 1.0f / scale, zero = LOAD(zeros + row);
        lanes_f64 limit = LOAD_F64(best + row), total = LOAD_F64(errors + row);
        for (size_t first = 0; first < columns && any_below(total, limit); first += 8) {
            size_t end = first + 8 < columns ? first + 8 : columns;
            lanes_f32 sum = splat(0);
            for (size_t j = first; j < end; j++) {
                lanes_f32 x = LOAD(values + j * rows + row);
                // Other than in the column loop: divisions would take most of the time.
                lanes_f32 z = (x - scale * nearest(x * inverse, zero, type, maxq, NULL)) * weights[j];
                sum += z * z;
            }
            total += __builtin_convertvector(sum, lanes_f64);
        }
        STORE_F64(errors + row, total);
    }
}

CLEAVE_CLONES
void cleave_weighted_error(
    const float *values, size_t columns, size_t rows, const float *weights, const float *scales, const float *zeros, cleave_numbers numbers,
    const double *best, double *errors) {
#define ADD(type) weighted_error(values, columns, rows, weights, scales, zeros, type, numbers.max_code, best, errors)
    WITH_TYPE(numbers, ADD)
#undef ADD
}

void cleave_keep_better(
    const double *errors, const float *shrink, const float *scales, const float *zeros, double *best, float *kept_shrink, float *kept_scales,
    float *kept_zeros, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        if (!(errors[i] < best[i])) continue;
        best[i] = errors[i];
        kept_shrink[i] = shrink[i];
        kept_scales[i] = scales[i];
        kept_zeros[i] = zeros[i];
    }
}

CLEAVE_CLONES
void cleave_keep_least(const double *errors, const float *shrink, size_t rows, size_t count, float *least, float *kept_shrink, double *limits) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 error = __builtin_convertvector(LOAD_F64(errors + row), lanes_f32), by = LOAD(shrink + row);
        lanes_i32 is_less = {0};
        for (size_t k = 0; k < count; k++) {
            // From the first one that is larger on, each moves down by one.
            lanes_f32 other = LOAD(least + k * rows + row), other_by = LOAD(kept_shrink + k * rows + row);
            is_less |= error < other;
            STORE(least + k * rows + row, choose(is_less, error, other));
            STORE(kept_shrink + k * rows + row, choose(is_less, by, other_by));
            error = choose(is_less, other, error), by = choose(is_less, other_by, by);
        }
        STORE_F64(limits + row, __builtin_convertvector(LOAD(least + (count - 1) * rows + row), lanes_f64));
    }
}
