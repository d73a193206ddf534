// SPDX-License-Identifier: MIT
// The inner loops of activation quantization, one set per instruction set. Only declarations: the
// files compiled for an instruction set include this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnet::backend::cpu {

// The bits of the largest |x|, at least `least`. NaN is above infinity, as its bits are.
using LargestMagnitude = std::uint32_t (*)(const float* x, std::size_t count, std::uint32_t least);
// codes = clamp(round_half_even(x * factor), -128, 127); a NaN product gives 0.
using QuantizeFloats = void (*)(const float* x, std::size_t count, float factor,
                                std::int8_t* codes);
using WidenHalves = void (*)(const std::uint16_t* halves, std::size_t count, float* floats);

struct ActivationLoops {
  LargestMagnitude largest_magnitude;
  QuantizeFloats quantize;
  WidenHalves widen_f16;
  WidenHalves widen_bf16;
};

std::uint32_t largest_magnitude_avx2(const float* x, std::size_t count, std::uint32_t least);
void quantize_floats_avx2(const float* x, std::size_t count, float factor, std::int8_t* codes);
void widen_f16_avx2(const std::uint16_t* halves, std::size_t count, float* floats);
void widen_bf16_avx2(const std::uint16_t* halves, std::size_t count, float* floats);

}  // namespace bitnet::backend::cpu
