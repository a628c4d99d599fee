// The loops that fit scale and offset of a group of a block, all rows at once.
#include "BlockFit.h"

#include "clones.h"
#include "lanes.h"
#include "nearest.h"

/// Least squares over c, a code above the zero code, or a number of IQ4_NL: scale = sum(u x c) / sum(u c c).
CLEAVE_INLINE void fit_scale(
    const float *values, size_t columns, size_t rows, const float *weights, float max_code, float zero, int type, float *scales,
    float *offsets) {
    lanes_f32 scale = LOAD(scales), offset = LOAD(offsets), products = splat(0), squares = splat(0);
    for (size_t j = 0; j < columns; j++) {
        lanes_f32 code, x = LOAD(values + j * rows), c = block_number(x, scale, offset, type, max_code, &code) - splat(zero), u = splat(weights[j]);
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
    const float *values, size_t columns, size_t rows, const float *weights, cleave_numbers numbers, cleave_offset_rule rule, float zero, float *scales,
    float *offsets) {
    const float most = numbers.max_code;
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        const float *x = values + row;
        float *scale = scales + row, *offset = offsets + row;
        if (rule != cleave_offset_of_zero) fit_both(x, columns, rows, weights, most, rule == cleave_offset_positive, scale, offset);
        else if (numbers.type == cleave_iq4_nl_blocks) fit_scale(x, columns, rows, weights, most, zero, cleave_iq4_nl_blocks, scale, offset);
        else fit_scale(x, columns, rows, weights, most, zero, cleave_blocks, scale, offset);
    }
}

CLEAVE_INLINE void add_errors(
    const float *values, size_t columns, size_t rows, const float *weights, float max_code, int type, const float *scales, const float *offsets,
    double *errors) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 scale = LOAD(scales + row), offset = LOAD(offsets + row), total = splat(0), code;
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 x = LOAD(values + j * rows + row), error = scale * block_number(x, scale, offset, type, max_code, &code) - offset - x;
            total += splat(weights[j]) * error * error;
        }
        STORE_F64(errors + row, __builtin_convertvector(total, lanes_f64));
    }
}

CLEAVE_CLONES
void cleave_block_error(
    const float *values, size_t columns, size_t rows, const float *weights, cleave_numbers numbers, const float *scales, const float *offsets,
    double *errors) {
    if (numbers.type == cleave_iq4_nl_blocks) {
        add_errors(values, columns, rows, weights, numbers.max_code, cleave_iq4_nl_blocks, scales, offsets, errors);
    } else {
        add_errors(values, columns, rows, weights, numbers.max_code, cleave_blocks, scales, offsets, errors);
    }
}
