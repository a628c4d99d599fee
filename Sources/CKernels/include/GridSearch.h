// The loops that find the grid of one group of columns, all rows at once.
//
// Arrays [columns, rows] and [rows] are contiguous, and `rows` is a multiple of cleave_lanes.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "SmallNumbers.h"

/// The range of each row with zero included. A row of zeros gets [-1, 1].
void cleave_range(const float *values, size_t columns, size_t rows, float *low, float *high);

/// scale = (shrink high - shrink low) / maxq; negative where shrink is.
void cleave_scales(const float *low, const float *high, const float *shrink, float maxq, float *scales, size_t rows);

/// Clamps the scales' magnitudes to least ... most, then zero = round(-shrink low / scale) clamped to 0 ... maxq, or (maxq + 1) / 2 when symmetric.
void cleave_zeros(
    const float *low, const float *shrink, float maxq, int symmetric, float least, float most, float *scales, float *zeros, size_t rows);

/// errors += the sum over columns of |x - q(x)|^2.4.
///
/// A set of 32 rows is left unfinished once none of them can come below `best`.
void cleave_power_error(
    const float *values, size_t columns, size_t rows, const float *scales, const float *zeros, cleave_numbers numbers, const double *best,
    double *errors);

/// errors += the sum over columns of ((x - q(x)) weight)^2. Rows are left unfinished as above.
void cleave_weighted_error(
    const float *values, size_t columns, size_t rows, const float *weights, const float *scales, const float *zeros, cleave_numbers numbers,
    const double *best, double *errors);

/// Rows whose output errors are summed at once.
enum { cleave_searched_rows = 64 };

/// errors += ||(x - q(x)) R||^2, all columns rounded at once. As many rows as are summed at once are left unfinished once none can come below `best`.
///
/// transposed: R^T, [columns, columns], contiguous. scratch: [columns, cleave_searched_rows].
void cleave_rounded_error(
    const float *values, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, cleave_numbers numbers,
    const double *best, double *errors, float *scratch);

/// errors += ||(x - q) R||^2, where the column loop chooses q: each column makes up for the errors of those before it.
void cleave_solved_error(
    const float *values, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, cleave_numbers numbers,
    const double *best, double *errors, float *scratch);

/// The two errors above, on integers up to maxq, where q = 0 for the weights whose `kept`, [columns, rows], is 0.
void cleave_rounded_kept_error(
    const float *values, const uint8_t *kept, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, float maxq,
    const double *best, double *errors, float *scratch);
void cleave_solved_kept_error(
    const float *values, const uint8_t *kept, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, float maxq,
    const double *best, double *errors, float *scratch);

/// Where errors < best: takes the error, the shrinking and the grid over.
void cleave_keep_better(
    const double *errors, const float *shrink, const float *scales, const float *zeros, double *best, float *kept_shrink, float *kept_scales,
    float *kept_zeros, size_t rows);

/// Takes each row's error and shrinking over into its `count` least so far, which are sorted.
///
/// least, kept_shrink: [count, rows]. limits: [rows], the largest of the least.
void cleave_keep_least(const double *errors, const float *shrink, size_t rows, size_t count, float *least, float *kept_shrink, double *limits);
