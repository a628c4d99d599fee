// The loops of SpQR over all rows of a tile at once: the grid of a group, and a few columns of the column loop.
#include "SpQR.h"

#include "clones.h"
#include "halves.h"
#include "lanes.h"

typedef struct {
    lanes_f32 scale, zero;
} spqr_grid;

CLEAVE_INLINE spqr_grid grid_of(lanes_f32 low, lanes_f32 high, float max_code) {
    lanes_f32 width = high - low;
    lanes_f32 least = choose(low > width, splat(0), low), most = choose(-high > width, splat(0), high);
    lanes_f32 scale = (most - least) / max_code;
    lanes_i32 is_empty = scale == splat(0);
    return (spqr_grid){scale, choose(is_empty, splat(0), -least / choose(is_empty, splat(1), scale))};
}

/// The code nearest to v on a grid whose zero point is no integer.
CLEAVE_INLINE lanes_f32 spqr_code(lanes_f32 v, spqr_grid grid, float max_code) {
    lanes_f32 code = __builtin_elementwise_rint(v / __builtin_elementwise_max(grid.scale, splat(1e-9f)) + grid.zero);
    return __builtin_elementwise_min(__builtin_elementwise_max(code, splat(0)), splat(max_code));
}

/// What a weight costs on a grid.
CLEAVE_INLINE lanes_f32 cost(lanes_f32 v, spqr_grid grid, float max_code, float diagonal) {
    lanes_f32 error = (v - grid.scale * (spqr_code(v, grid, max_code) - grid.zero)) * diagonal;
    return error * error;
}

CLEAVE_CLONES
void cleave_spqr_grid(
    const float *values, size_t columns, size_t rows, const float *diagonal, float max_code, float threshold, float *scales, float *zeros) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 least = splat(__builtin_inff()), most = splat(-__builtin_inff()), second_least = least, second_most = most;
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 v = LOAD(values + j * rows + row);
            second_least = __builtin_elementwise_min(second_least, __builtin_elementwise_max(least, v));
            least = __builtin_elementwise_min(least, v);
            second_most = __builtin_elementwise_max(second_most, __builtin_elementwise_min(most, v));
            most = __builtin_elementwise_max(most, v);
        }
        // Only without its least or its largest weight a group has another grid; without any other weight it costs less by what that weight costs.
        spqr_grid all = grid_of(least, most, max_code), above = grid_of(second_least, most, max_code), below = grid_of(least, second_most, max_code);
        lanes_f32 total = splat(0), total_above = splat(0), total_below = splat(0);
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 v = LOAD(values + j * rows + row);
            total += cost(v, all, max_code, diagonal[j]);
            total_above += choose(v == least, splat(0), cost(v, above, max_code, diagonal[j]));
            total_below += choose(v == most, splat(0), cost(v, below, max_code, diagonal[j]));
        }
        lanes_i32 is_least_alone = second_least > least, is_most_alone = second_most < most;
        lanes_f32 low = splat(__builtin_inff()), high = splat(-__builtin_inff());
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 v = LOAD(values + j * rows + row);
            lanes_f32 gain = choose((v == most) & is_most_alone, total - total_below, cost(v, all, max_code, diagonal[j]));
            gain = choose((v == least) & is_least_alone, total - total_above, gain);
            lanes_i32 is_outlier = gain > splat(threshold);
            low = choose(is_outlier, low, __builtin_elementwise_min(low, v));
            high = choose(is_outlier, high, __builtin_elementwise_max(high, v));
        }
        lanes_i32 is_empty = low > high;
        spqr_grid found = grid_of(choose(is_empty, splat(0), low), choose(is_empty, splat(0), high), max_code);
        STORE(scales + row, found.scale);
        STORE(zeros + row, found.zero);
    }
}

/// scale (code - zero), each step rounded to half precision.
CLEAVE_INLINE lanes_f32 number(lanes_f32 code, spqr_grid grid) {
    return rounded(grid.scale * rounded(code - grid.zero, cleave_f16), cleave_f16);
}

CLEAVE_CLONES
void cleave_spqr_columns(
    const cleave_columns *tile, const float *scales, const float *zeros, const int32_t *group, float max_code, float threshold, uint8_t *codes,
    float *outliers, double *loss) {
    const cleave_columns t = *tile;
    const lanes_f32 most = splat(65504);
    for (size_t row = 0; row < t.rows; row += CLEAVE_LANES) {
        lanes_f64 total = LOAD_F64(loss + row);
        for (size_t j = 0; j < t.columns; j++) {
            float diagonal = t.factor[j * t.factor_stride + j];
            size_t at = j * t.rows + row, place = (size_t)group[j] * t.rows + row;
            spqr_grid grid = {LOAD(scales + place), LOAD(zeros + place)};
            lanes_f32 w = LOAD(t.weights + at), v = w + LOAD(t.errors + at) / diagonal;
            lanes_f32 code = spqr_code(v, grid, max_code), q = number(code, grid), error = (v - q) * diagonal;
            lanes_f32 code_of_0 = spqr_code(splat(0), grid, max_code), dense = number(code_of_0, grid);
            lanes_f32 outlier = rounded(__builtin_elementwise_min(__builtin_elementwise_max(v - dense, -most), most), cleave_f16);
            lanes_i32 is_outlier = (error * error > splat(threshold)) & (outlier != splat(0));
            q = choose(is_outlier, rounded(dense + outlier, cleave_f16), q);
            *(lanes_u8 *)(codes + at) = __builtin_convertvector(choose(is_outlier, code_of_0, code), lanes_u8);
            STORE(outliers + at, choose(is_outlier, outlier, splat(0)));
            lanes_f64 z = __builtin_convertvector((v - q) * diagonal, lanes_f64);
            total += z * z;
            STORE(t.errors + at, w - q);
            for (size_t k = j + 1; k < t.columns; k++) {
                float *sum = t.errors + k * t.rows + row;
                STORE(sum, LOAD(sum) + (w - q) * t.factor[j * t.factor_stride + k]);
            }
        }
        STORE_F64(loss + row, total);
    }
}
