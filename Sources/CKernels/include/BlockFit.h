// The loops that fit scale and offset of a group of a block, all rows at once.
//
// Arrays [columns, rows] and [rows] are contiguous, and `rows` is a multiple of cleave_lanes. A number is scale * code - offset.
#pragma once
#include <stddef.h>

#include "SmallNumbers.h"

/// What holds offsets.
typedef enum {
    cleave_offset_free,
    cleave_offset_positive,  // 0 or more
    cleave_offset_of_zero,   // the zero code times the scale
} cleave_offset_rule;

/// Replaces scales and offsets by those with the least sum of weight (number - value)^2 under the codes that the given ones lead to. Those with which
/// nothing can be fitted stay.
///
/// weights: [columns]; zero: the code that stands for 0, under `cleave_offset_of_zero`.
void cleave_fit_block(
    const float *values, size_t columns, size_t rows, const float *weights, cleave_numbers numbers, cleave_offset_rule rule, float zero, float *scales,
    float *offsets);

/// errors = the sum of weight (number - value)^2 with the nearest codes.
void cleave_block_error(
    const float *values, size_t columns, size_t rows, const float *weights, cleave_numbers numbers, const float *scales, const float *offsets, double *errors);
