// SPDX-License-Identifier: MIT
// The variants of operations: what the caller chooses and the kernels of every device read.
#pragma once

#include <cstdint>

namespace bitnet {

enum class Binary : std::uint8_t { add, sub, mul };

enum class Unary : std::uint8_t {
  relu,
  relu2,  // max(x, 0)^2; overflows f16 beyond 255
  silu,
  gelu,  // the erf form
};

enum class Reduction : std::uint8_t {
  sum,
  mean,
  max,
  absmax,
  argmax,  // the first index of the maximum
};

// Which elements of a head of size D a rotary position turns together.
enum class RopeStyle : std::uint8_t {
  rotate_half,  // i and i + D / 2: GPT-NeoX, Hugging Face
  interleaved,  // 2i and 2i + 1: GGUF files of the llama architecture
};

}  // namespace bitnet
