// SPDX-License-Identifier: MIT
// The inner loop of activation quantization, one per instruction set. Only declarations: the files
// compiled for an instruction set include this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnet::backend::cpu {

// codes = clamp(round_half_even(x * factor), -128, 127); a NaN product gives 0.
using QuantizeFloats = void (*)(const float* x, std::size_t count, float factor,
                                std::int8_t* codes);
void quantize_floats_avx2(const float* x, std::size_t count, float factor, std::int8_t* codes);

}  // namespace bitnet::backend::cpu
