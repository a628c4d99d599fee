// The innermost loops of the column loop: a few columns of a transposed tile, all rows at once.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "SmallNumbers.h"

/// Rows of a tile are padded to a multiple of this.
enum { cleave_lanes = 32 };

/// Some neighbouring columns of a tile. Arrays [columns, rows] are contiguous.
typedef struct {
    size_t columns;
    size_t rows;           // a multiple of cleave_lanes
    const float *factor;   // the diagonal block of R for these columns
    size_t factor_stride;  // elements between two rows of R
    const float *weights;  // [columns, rows]
    float *errors;         // [columns, rows]; in: sums of e_i R_ij over all earlier columns i; out: e_j = w_j - q_j
} cleave_columns;

/// q_j = the number of the grid nearest to v_j = w_j + (sum of e_i R_ij, i < j) / R_jj.
///
/// scales, zeros: [groups, rows]; group: the group of each column; codes: [columns, rows]; loss: [rows], to which ((v_j - q_j) R_jj)^2 is added.
void cleave_quantize_columns(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, cleave_numbers numbers, uint8_t *codes,
    double *loss);

/// The numbers nearest to the weights of one column, and w - q: [rows] all.
void cleave_round_column(
    const float *weights, const float *scales, const float *zeros, cleave_numbers numbers, uint8_t *codes, float *errors, size_t rows);

/// The first loop where `kept`, [columns, rows], is 1; where it is 0, the code is the zero and q_j = 0. Of integers up to maxq.
void cleave_quantize_kept_columns(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, float maxq, const uint8_t *kept, uint8_t *codes,
    double *loss);

/// Types to which values are rounded.
enum { cleave_f32, cleave_f16, cleave_bf16 };

/// q_j = v_j rounded to a type where `kept`, [columns, rows], is 1; 0 where it is 0. values: [columns, rows]; loss as above.
void cleave_prune_columns(const cleave_columns *tile, const uint8_t *kept, int type, float *values, double *loss);

/// q_j = v_j: what the weights have become after all earlier errors, as q_j = w_j - e_j.
void cleave_update_columns(const cleave_columns *tile);
