// The output error of one grid for each row of a group, through the group's block of the factor.
//
// A column waits for the one before it: its error, its sum, two roundings. Two sets of rows side by side take turns in that chain, and sums of earlier
// columns are gathered for four columns at a time.
#include "GridSearch.h"

#include "clones.h"
#include "lanes.h"
#include "nearest.h"

enum { COLUMNS_AT_ONCE = 4, SETS_AT_ONCE = cleave_searched_rows / CLEAVE_LANES };

/// The grid of a set of rows, and their errors so far.
typedef struct {
    lanes_f32 scale, inverse, zero;
    lanes_f64 limit, total;
} grid_set;

/// A group's weights and its block of the factor; what the exported functions are given.
typedef struct {
    const float *values;
    const uint8_t *kept;
    size_t columns, rows;
    const float *transposed;
    float maxq;
} group;

/// sums[k] = the sum over i < first of e_i R_i(first+k), k < count. errors: [columns, 32]; count: 1 or COLUMNS_AT_ONCE.
CLEAVE_INLINE void gather(const float *errors, const float *transposed, size_t columns, size_t first, size_t count, lanes_f32 *sums) {
    const float *r = transposed + first * columns;
    lanes_f32 s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
    for (size_t i = 0; i < first; i++) {
        lanes_f32 e = LOAD(errors + i * CLEAVE_LANES);
        s0 += e * r[i];
        if (count == 1) continue;
        s1 += e * r[columns + i];
        s2 += e * r[2 * columns + i];
        s3 += e * r[3 * columns + i];
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/// Rounds some columns and adds their errors. scratch: the errors x - q of each set, [sets, columns, 32].
CLEAVE_INLINE void add_columns(const group *g, size_t first, size_t count, grid_set *sets, size_t set_count, float *scratch, int solved, int type) {
    lanes_f32 sums[SETS_AT_ONCE][COLUMNS_AT_ONCE], squares[SETS_AT_ONCE];
    for (size_t s = 0; s < set_count; s++) {
        gather(scratch + s * g->columns * CLEAVE_LANES, g->transposed, g->columns, first, count, sums[s]);
        squares[s] = splat(0);
    }
#pragma clang loop unroll(full)
    for (size_t k = 0; k < count; k++) {
        size_t j = first + k;
        float diagonal = g->transposed[j * g->columns + j], inverse_diagonal = 1.0f / diagonal;
        for (size_t s = 0; s < set_count; s++) {
            lanes_f32 x = LOAD(g->values + j * g->rows + s * CLEAVE_LANES);
            lanes_f32 v = solved ? x + sums[s][k] * inverse_diagonal : x;
            // Other than in the column loop: a division would be most of the chain.
            lanes_f32 q = sets[s].scale * nearest(v * sets[s].inverse, sets[s].zero, type, g->maxq, NULL);
            if (g->kept) q = choose(kept_lanes(g->kept + j * g->rows + s * CLEAVE_LANES), q, splat(0));
            lanes_f32 error = x - q;
            STORE(scratch + (s * g->columns + j) * CLEAVE_LANES, error);
            lanes_f32 z = solved ? (v - q) * diagonal : sums[s][k] + error * diagonal;
            squares[s] += z * z;
            for (size_t later = k + 1; later < count; later++) sums[s][later] += error * g->transposed[(first + later) * g->columns + j];
        }
    }
    for (size_t s = 0; s < set_count; s++) sets[s].total += __builtin_convertvector(squares[s], lanes_f64);
}

CLEAVE_INLINE void add_sets(
    group g, size_t row, const float *scales, const float *zeros, const double *best, double *errors, float *scratch, int solved, int type,
    size_t set_count) {
    grid_set sets[SETS_AT_ONCE];
    for (size_t s = 0; s < set_count; s++) {
        size_t at = row + s * CLEAVE_LANES;
        lanes_f32 scale = LOAD(scales + at);
        sets[s] = (grid_set){scale, 1.0f / scale, LOAD(zeros + at), LOAD_F64(best + at), LOAD_F64(errors + at)};
    }
    g.values += row;
    if (g.kept) g.kept += row;
    for (size_t first = 0; first < g.columns;) {
        int is_open = 0;
        for (size_t s = 0; s < set_count; s++) is_open |= any_below(sets[s].total, sets[s].limit);
        if (!is_open) break;
        if (first + COLUMNS_AT_ONCE <= g.columns) {
            add_columns(&g, first, COLUMNS_AT_ONCE, sets, set_count, scratch, solved, type);
            first += COLUMNS_AT_ONCE;
        } else {
            add_columns(&g, first, 1, sets, set_count, scratch, solved, type);
            first++;
        }
    }
    for (size_t s = 0; s < set_count; s++) STORE_F64(errors + row + s * CLEAVE_LANES, sets[s].total);
}

/// solved: a column sees the errors of those before it. Always inlined with constants, so that each function below has its own loops.
CLEAVE_INLINE void add_block_errors(
    group g, const float *scales, const float *zeros, const double *best, double *errors, float *scratch, int solved, int type) {
    size_t row = 0;
    for (; row + cleave_searched_rows <= g.rows; row += cleave_searched_rows) {
        add_sets(g, row, scales, zeros, best, errors, scratch, solved, type, SETS_AT_ONCE);
    }
    if (row < g.rows) add_sets(g, row, scales, zeros, best, errors, scratch, solved, type, 1);
}

_Static_assert(SETS_AT_ONCE == 2, "one set at most is left over");

CLEAVE_CLONES
void cleave_rounded_error(
    const float *values, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, cleave_numbers numbers,
    const double *best, double *errors, float *scratch) {
    group g = {values, /* kept */ NULL, columns, rows, transposed, numbers.max_code};
#define ADD(type) add_block_errors(g, scales, zeros, best, errors, scratch, /* solved */ 0, type)
    WITH_TYPE(numbers, ADD)
#undef ADD
}

CLEAVE_CLONES
void cleave_solved_error(
    const float *values, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, cleave_numbers numbers,
    const double *best, double *errors, float *scratch) {
    group g = {values, /* kept */ NULL, columns, rows, transposed, numbers.max_code};
#define ADD(type) add_block_errors(g, scales, zeros, best, errors, scratch, /* solved */ 1, type)
    WITH_TYPE(numbers, ADD)
#undef ADD
}

CLEAVE_CLONES
void cleave_rounded_kept_error(
    const float *values, const uint8_t *kept, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, float maxq,
    const double *best, double *errors, float *scratch) {
    group g = {values, kept, columns, rows, transposed, maxq};
    add_block_errors(g, scales, zeros, best, errors, scratch, /* solved */ 0, cleave_integers);
}

CLEAVE_CLONES
void cleave_solved_kept_error(
    const float *values, const uint8_t *kept, size_t columns, size_t rows, const float *transposed, const float *scales, const float *zeros, float maxq,
    const double *best, double *errors, float *scratch) {
    group g = {values, kept, columns, rows, transposed, maxq};
    add_block_errors(g, scales, zeros, best, errors, scratch, /* solved */ 1, cleave_integers);
}
