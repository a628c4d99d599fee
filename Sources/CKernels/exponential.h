// exp in fp32 as plain arithmetic, so that loops over it vectorise and every clone gives the same bits.
#pragma once
#include <stdint.h>
#include <string.h>

static inline float cleave_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// exp(x) = 2^n exp(r) with n the nearest integer to x / ln 2 and |r| <= ln 2 / 2. Within 2 ulp; below -87.3 it gives exp(-87.3), about
// 1e-38, and above 88.3 exp(88.3); NaN stays NaN. The polynomial is a least-maximum fit of (exp(r) - 1 - r) / r^2.
static inline float cleave_exp(float x) {
    x = x > 88.3f ? 88.3f : x;
    x = x < -87.3f ? -87.3f : x;
    // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits.
    float shifted = x * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    // ln 2 in two parts; the first has few enough bits that its product with n is exact.
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float q = 1.38138724e-3f;
    q = q * r + 8.36906396e-3f;
    q = q * r + 4.16684225e-2f;
    q = q * r + 1.66665182e-1f;
    q = q * r + 4.99999940e-1f;
    float p = 1.0f + (r + r * r * q);
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return p * cleave_float_of((bits + 127u) << 23);
}
