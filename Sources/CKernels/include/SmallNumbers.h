// The numbers to which weights are rounded before a scale multiplies them.
#pragma once

/// Integers of up to 8 bits with a zero point, and floating-point numbers of 8 bits (E4M3 without infinities) and of 4 (E2M1).
/// Of blocks, a number is scale * code - offset, where the offset stands in the place of a zero point; of those of IQ4_NL, scale * cleave_iq4_nl_numbers[code].
/// Ternary numbers are 0 and two others: the lower one stands in the place of the scale, the higher one in that of the zero point.
enum { cleave_integers, cleave_e4m3, cleave_e2m1, cleave_blocks, cleave_iq4_nl_blocks, cleave_ternary };

/// What the codes of IQ4_NL stand for. Source: ggml, ggml-common.h (`kvalues_iq4nl`).
static const float cleave_iq4_nl_numbers[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

typedef struct {
    int type;
    float max_code;  // of integers and blocks
} cleave_numbers;
