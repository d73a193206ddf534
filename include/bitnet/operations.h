// SPDX-License-Identifier: MIT
// The variants of operations: what a caller of bitnet/kernels.h chooses and the kernels of every
// device read.
#pragma once

#include <cstdint>

namespace bitnet {

enum class Binary : std::uint8_t { add, sub, mul };
enum class Unary : std::uint8_t { relu, relu2, silu, gelu };
enum class Reduction : std::uint8_t { sum, mean, max, absmax, argmax };
enum class RopeStyle : std::uint8_t { rotate_half, interleaved };

}  // namespace bitnet
