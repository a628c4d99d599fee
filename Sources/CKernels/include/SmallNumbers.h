// The numbers to which weights are rounded before a scale multiplies them.
#pragma once

/// Integers of up to 8 bits with a zero point, and floating-point numbers of 8 bits (E4M3 without infinities) and of 4 (E2M1).
/// Of blocks, a number is scale * code - offset, where the offset stands in the place of a zero point.
/// Ternary numbers are 0 and two others: the lower one stands in the place of the scale, the higher one in that of the zero point.
enum { cleave_integers, cleave_e4m3, cleave_e2m1, cleave_blocks, cleave_ternary };

typedef struct {
    int type;
    float max_code;  // of integers and blocks
} cleave_numbers;
