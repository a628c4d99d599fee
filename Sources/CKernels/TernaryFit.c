// The loop that fits ternary numbers to the weights of a row, all rows at once.
#include "TernaryFit.h"

#include "clones.h"
#include "lanes.h"
#include "nearest.h"

CLEAVE_CLONES
void cleave_fit_ternary(
    const float *values, size_t columns, size_t rows, const float *weights, const float *low, const float *high, double *low_errors,
    double *high_errors, float *fitted_low, float *fitted_high) {
    for (size_t row = 0; row < rows; row += CLEAVE_LANES) {
        lanes_f32 l = LOAD(low + row), h = LOAD(high + row);
        lanes_f32 low_error = splat(0), high_error = splat(0), low_sum = splat(0), low_weight = splat(0), high_sum = splat(0), high_weight = splat(0);
        for (size_t j = 0; j < columns; j++) {
            lanes_f32 x = LOAD(values + j * rows + row), u = splat(weights[j]);
            lanes_u8 codes;
            lanes_f32 error = x - nearest_ternary(x, l, h, &codes), cost = u * error * error;
            lanes_i32 code = __builtin_convertvector(codes, lanes_i32), is_low = code == 1, is_high = code == 2;
            low_error += choose(x < splat(0), cost, splat(0));
            high_error += choose(x < splat(0), splat(0), cost);
            low_sum += choose(is_low, u * x, splat(0));
            low_weight += choose(is_low, u, splat(0));
            high_sum += choose(is_high, u * x, splat(0));
            high_weight += choose(is_high, u, splat(0));
        }
        STORE_F64(low_errors + row, __builtin_convertvector(low_error, lanes_f64));
        STORE_F64(high_errors + row, __builtin_convertvector(high_error, lanes_f64));
        STORE(fitted_low + row, choose(low_weight > splat(0), low_sum / low_weight, l));
        STORE(fitted_high + row, choose(high_weight > splat(0), high_sum / high_weight, h));
    }
}
