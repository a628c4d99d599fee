// Rows and columns of a matrix exchanged.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// target[j * target_stride + i] = source[i * source_stride + j] for i < rows, j < columns; strides in elements.
void cleave_transpose_16(const uint16_t *source, size_t source_stride, size_t rows, size_t columns, uint16_t *target, size_t target_stride);
