// The loop that fits ternary numbers to the weights of a row, all rows at once.
#pragma once
#include <stddef.h>

/// What two numbers beside 0 cost on either side, and the numbers that fit the weights nearest to them best.
///
/// values: [columns, rows], contiguous, `rows` a multiple of cleave_lanes; weights: [columns], how much the square of a column's error counts;
/// low, high: [rows], not above and not below 0. low_errors, high_errors: [rows], the sums over the negative and over the other values.
/// fitted_low, fitted_high: [rows], the weighted means of the values that took low, and high; those themselves where none did.
void cleave_fit_ternary(
    const float *values, size_t columns, size_t rows, const float *weights, const float *low, const float *high, double *low_errors,
    double *high_errors, float *fitted_low, float *fitted_high);
