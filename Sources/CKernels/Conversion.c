// Element-wise conversion between fp32 and the two 16-bit formats of checkpoints.
#include "Conversion.h"

#include <string.h>

#include "clones.h"

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

CLEAVE_CLONES
void cleave_f32_to_bf16(const float *restrict source, uint16_t *restrict destination, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(source[i]);
        uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        uint32_t quiet = (bits >> 16) | 0x40u;
        destination[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
    }
}

CLEAVE_CLONES
void cleave_bf16_to_f32(const uint16_t *restrict source, float *restrict destination, size_t count) {
    for (size_t i = 0; i < count; i++) destination[i] = float_of((uint32_t)source[i] << 16);
}

// f16 goes through integer arithmetic, so that a CPU without F16C gives the same bits as one with it.
CLEAVE_CLONES
void cleave_f32_to_f16(const float *restrict source, uint16_t *restrict destination, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(source[i]);
        uint32_t sign = (bits >> 16) & 0x8000u;
        uint32_t magnitude = bits & 0x7fffffffu;
        // Adding 0.5 aligns a subnormal result's last bit with fp32's last bit, so the addition itself rounds it.
        uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
        uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
        uint32_t infinite = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
        uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
        half = magnitude >= 0x477ff000u ? infinite : half;
        destination[i] = (uint16_t)(sign | half);
    }
}

CLEAVE_CLONES
void cleave_f16_to_f32(const uint16_t *restrict source, float *restrict destination, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t half = source[i];
        uint32_t sign = (half & 0x8000u) << 16;
        uint32_t magnitude = (half & 0x7fffu) << 13;
        float scaled = float_of(magnitude) * 0x1p112f;  // moves the exponent bias from 15 to 127, subnormals included
        uint32_t bits = magnitude >= 0x0f800000u ? (magnitude | 0x7f800000u) : bits_of(scaled);
        destination[i] = float_of(sign | bits);
    }
}
