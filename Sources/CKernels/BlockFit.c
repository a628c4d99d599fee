// The loops that fit scale and offset of a group of a block, all rows at once.
#include "BlockFit.h"

#include "clones.h"
#include "lanes.h"
#include "nearest.h"

/// Least squares over codes c = code - zero: scale = sum(u x c) / sum(u c c).
CLEAVE_INLINE void fit_scale(
    const float *values, size_t columns, size_t rows, const float *weights, float max_code, float zero, float *scales, float *offsets) {
    lanes_f32 scale = LOAD(scales), offset = LOAD(offsets), products = splat(0), squares = splat(0);
    for (size_t j = 0; j < columns; j++) {
        lanes_f32 x = LOAD(values + j * rows), c = block_code(x, scale, offset, max_code) - splat(zero), u = splat(weights[j]);
        products += u * x * c;
        squares += u * c * c;
    }
    lanes_f32 fitted = choose(squares > splat(0), products / squares, scale);
    STORE(scales, fitted);
    STORE(offsets, fitted * splat(zero));
}

/// Least squares over scale and offset.
CLEAVE_INLINE void fit_both(
    const float *values, size_t columns, size_t rows, const float *weights, float max_code, int is_positive, float *scales, float *offsets) {
    lanes_f32 scale = LOAD(scales), offset = LOAD(offsets);
    lanes_f32 u1 = splat(0), uq = splat(0), uqq = splat(0), ux = splat(0), uxq = splat(0);
    for (size_t j = 0; j < columns; j++) {
        lanes_f32 x = LOAD(values + j * rows), q = block_code(x, scale, offset, max_code), u = splat(weights[j]);
        u1 += u;
        uq += u * q;
        uqq += u * q * q;
        ux += u * x;
        uxq += u * x * q;
    }
    lanes_f32 determinant = u1 * uqq - uq * uq;
    lanes_i32 is_regular = determinant > splat(0);
    lanes_f32 a = (u1 * uxq - uq * ux) / determinant, b = (uq * uxq - uqq * ux) / determinant;
    if (is_positive) {
        lanes_i32 is_outside = b < splat(0);
        a = choose(is_outside, uxq / uqq, a);
        b = choose(is_outside, splat(0), b);
    }
    lanes_i32 is_fitted = is_regular & (a > splat(0));
    STORE(scales, choose(is_fitted, a, scale));
    STORE(offsets, choose(is_fitted, b, offset));
}

CLEAVE_CLONES
void cleave_fit_block(
    const float *values, size_t columns, size_t rows, const float *weights, float max_code, cleave_offset_rule rule, float zero, float *scales,
    float *offsets) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        if (rule == cleave_offset_of_zero) fit_scale(values + row, columns, rows, weights, max_code, zero, scales + row, offsets + row);
        else fit_both(values + row, columns, rows, weights, max_code, rule == cleave_offset_positive, scales + row, offsets + row);
    }
}

CLEAVE_CLONES
void cleave_block_error(
    const float *values, size_t columns, size_t rows, const float *weights, float max_code, const float *scales, const float *offsets, double *errors) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 scale = LOAD(scales + row), offset = LOAD(offsets + row), total = splat(0);
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 x = LOAD(values + j * rows + row), error = scale * block_code(x, scale, offset, max_code) - offset - x;
            total += splat(weights[j]) * error * error;
        }
        STORE_F64(errors + row, __builtin_convertvector(total, lanes_f64));
    }
}
