// Finding infinities and NaN among numbers as they lie in checkpoint files.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// The place of the first number whose exponent's bits are all set, `count` when there is none. Numbers need not be aligned.
/// exponent: the exponent's bits.
size_t cleave_first_not_finite_8(const void *numbers, size_t count, uint8_t exponent);
size_t cleave_first_not_finite_16(const void *numbers, size_t count, uint16_t exponent);
size_t cleave_first_not_finite_32(const void *numbers, size_t count, uint32_t exponent);
