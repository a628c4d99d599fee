// The loops of SpQR over all rows of a tile at once: the grid of a group, and a few columns of the column loop.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "ColumnLoop.h"

/// The grid of each row's weights in a group, found without those that are worth more as outliers: scale = range / max_code, zero = -least / scale.
///
/// A weight is left out where the rest, on a grid of their own, cost less by more than the threshold than all of them cost on theirs. A range that lies farther
/// from 0 than it is wide reaches to 0; an empty one has scale and zero 0.
///
/// values: [columns, rows], contiguous, `rows` a multiple of cleave_lanes; diagonal: [columns], the errors' weights R_jj; scales, zeros: [rows].
void cleave_spqr_grid(
    const float *values, size_t columns, size_t rows, const float *diagonal, float max_code, float threshold, float *scales, float *zeros);

/// q_j = scale (code - zero) in half precision, next to v_j as in `cleave_quantize_columns`; where ((v_j - q_j) R_jj)^2 is above the threshold, the code is that of 0
/// and q_j = scale (code - zero) + outlier, each a number of half precision.
///
/// scales, zeros: [groups, rows]; group: the group of each column; codes, outliers: [columns, rows], an outlier 0 where there is none; loss: as there.
void cleave_spqr_columns(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, float max_code, float threshold, uint8_t *codes,
    float *outliers, double *loss);
