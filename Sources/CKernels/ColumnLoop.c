// The innermost loops of the column loop: a few columns of a transposed tile, all rows at once.
#include "ColumnLoop.h"

#include "clones.h"
#include "halves.h"
#include "lanes.h"
#include "nearest.h"

_Static_assert(cleave_lanes == CLEAVE_LANES, "the header names the kernels' number of lanes");

/// Adds e_j R_jk to the sums of the later columns k. Pushing to the right keeps the additions independent of each other; each sum still
/// receives its terms in the order of j.
CLEAVE_INLINE void push(const cleave_columns *tile, size_t row, size_t j, lanes_f32 error) {
    const float *factor = tile->factor + j * tile->factor_stride;
    for (size_t k = j + 1; k < tile->columns; k++) {
        float *sum = tile->errors + k * tile->rows + row;
        STORE(sum, LOAD(sum) + error * factor[k]);
    }
}

/// kept: where 0, the weight becomes exactly zero; NULL keeps all.
CLEAVE_INLINE void quantize(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, int type, float maxq, const uint8_t *kept,
    uint8_t *codes, double *loss) {
    const cleave_columns t = *tile;
    for (size_t row = 0; row < t.rows; row += CLEAVE_LANES) {
        lanes_f64 total = LOAD_F64(loss + row);
        for (size_t j = 0; j < t.columns; j++) {
            float diagonal = t.factor[j * t.factor_stride + j];
            size_t at = j * t.rows + row, grid = (size_t)group[j] * t.rows + row;
            lanes_f32 w = LOAD(t.weights + at), scale = LOAD(scales + grid), zero = LOAD(zeros + grid);
            lanes_f32 v = w + LOAD(t.errors + at) / diagonal;
            lanes_f32 q;
            if (kept) {
                lanes_f32 code = choose(kept_lanes(kept + at), code_of(v, scale, zero, maxq), zero);
                q = scale * (code - zero);
                *(lanes_u8 *)(codes + at) = __builtin_convertvector(code, lanes_u8);
            } else if (type == cleave_blocks || type == cleave_iq4_nl_blocks) {
                lanes_f32 code;
                q = scale * block_number(v, scale, zero, type, maxq, &code) - zero;
                *(lanes_u8 *)(codes + at) = __builtin_convertvector(code, lanes_u8);
            } else if (type == cleave_ternary) {
                q = nearest_ternary(v, scale, zero, (lanes_u8 *)(codes + at));
            } else {
                q = scale * nearest(v / scale, zero, type, maxq, (lanes_u8 *)(codes + at));
            }
            lanes_f64 z = __builtin_convertvector((v - q) * diagonal, lanes_f64);
            total += z * z;
            STORE(t.errors + at, w - q);
            push(&t, row, j, w - q);
        }
        STORE_F64(loss + row, total);
    }
}

CLEAVE_CLONES
void cleave_quantize_columns(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, cleave_numbers numbers, uint8_t *codes,
    double *loss) {
#define QUANTIZE(type) quantize(tile, scales, zeros, group, type, numbers.max_code, NULL, codes, loss)
    if (numbers.type == cleave_blocks) QUANTIZE(cleave_blocks);
    else if (numbers.type == cleave_iq4_nl_blocks) QUANTIZE(cleave_iq4_nl_blocks);
    else if (numbers.type == cleave_ternary) QUANTIZE(cleave_ternary);
    else WITH_TYPE(numbers, QUANTIZE)
#undef QUANTIZE
}

CLEAVE_INLINE void round_column(
    const float *weights, const float *scales, const float *zeros, int type, float max_code, uint8_t *codes, float *errors, size_t rows) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 w = LOAD(weights + row), scale = LOAD(scales + row);
        if (type == cleave_blocks || type == cleave_iq4_nl_blocks) {
            lanes_f32 offset = LOAD(zeros + row), code, number = block_number(w, scale, offset, type, max_code, &code);
            *(lanes_u8 *)(codes + row) = __builtin_convertvector(code, lanes_u8);
            STORE(errors + row, w - (scale * number - offset));
            continue;
        }
        if (type == cleave_ternary) {
            STORE(errors + row, w - nearest_ternary(w, scale, LOAD(zeros + row), (lanes_u8 *)(codes + row)));
            continue;
        }
        STORE(errors + row, w - scale * nearest(w / scale, LOAD(zeros + row), type, max_code, (lanes_u8 *)(codes + row)));
    }
}

CLEAVE_CLONES
void cleave_round_column(
    const float *weights, const float *scales, const float *zeros, cleave_numbers numbers, uint8_t *codes, float *errors, size_t rows) {
#define ROUND(type) round_column(weights, scales, zeros, type, numbers.max_code, codes, errors, rows)
    if (numbers.type == cleave_blocks) ROUND(cleave_blocks);
    else if (numbers.type == cleave_iq4_nl_blocks) ROUND(cleave_iq4_nl_blocks);
    else if (numbers.type == cleave_ternary) ROUND(cleave_ternary);
    else WITH_TYPE(numbers, ROUND)
#undef ROUND
}

CLEAVE_CLONES
void cleave_quantize_kept_columns(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, float maxq, const uint8_t *kept, uint8_t *codes,
    double *loss) {
    quantize(tile, scales, zeros, group, cleave_integers, maxq, kept, codes, loss);
}

CLEAVE_INLINE void prune(const cleave_columns *tile, const uint8_t *kept, int type, float *values, double *loss) {
    const cleave_columns t = *tile;
    for (size_t row = 0; row < t.rows; row += CLEAVE_LANES) {
        lanes_f64 total = LOAD_F64(loss + row);
        for (size_t j = 0; j < t.columns; j++) {
            float diagonal = t.factor[j * t.factor_stride + j];
            size_t at = j * t.rows + row;
            lanes_f32 w = LOAD(t.weights + at);
            lanes_f32 v = w + LOAD(t.errors + at) / diagonal;
            lanes_f32 q = choose(kept_lanes(kept + at), rounded(v, type), splat(0));
            lanes_f64 z = __builtin_convertvector((v - q) * diagonal, lanes_f64);
            total += z * z;
            STORE(values + at, q);
            STORE(t.errors + at, w - q);
            push(&t, row, j, w - q);
        }
        STORE_F64(loss + row, total);
    }
}

CLEAVE_CLONES
void cleave_prune_columns(const cleave_columns *tile, const uint8_t *kept, int type, float *values, double *loss) {
    switch (type) {
    case cleave_bf16: prune(tile, kept, cleave_bf16, values, loss); break;
    case cleave_f16: prune(tile, kept, cleave_f16, values, loss); break;
    default: prune(tile, kept, cleave_f32, values, loss); break;
    }
}

CLEAVE_CLONES
void cleave_update_columns(const cleave_columns *tile) {
    const cleave_columns t = *tile;
    for (size_t row = 0; row < t.rows; row += CLEAVE_LANES) {
        for (size_t j = 0; j < t.columns; j++) {
            size_t at = j * t.rows + row;
            lanes_f32 error = -(LOAD(t.errors + at) / t.factor[j * t.factor_stride + j]);
            STORE(t.errors + at, error);
            push(&t, row, j, error);
        }
    }
}
