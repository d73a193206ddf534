// SPDX-License-Identifier: MIT
// The kernels of shaders/ternary_gemv.metal as the host sees them: their names, the order of the
// activation codes they take, and their grids.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "bitnet/types.h"

#include "kernels/candidate.h"
#include "shaders/shader_types.h"

namespace bitnet::kernels {

// Codes of a token lie in planes: plane i holds columns i, planes + i, 2 planes + i, ..., padded
// with zeros to a multiple of `cols` columns. With one plane, that is their natural order.
struct CodePlanes {
  std::uint32_t planes;
  std::uint32_t cols;
};
[[nodiscard]] constexpr CodePlanes code_planes(Packing packing) noexcept {
  switch (packing) {
    case Packing::two_bit_tiled:
      return {1, 16};
    case Packing::two_bit:
      return {1, 64};
    case Packing::five_in_eight:
      return {5, 80};
    case Packing::three_in_five:
      return {3, 384};
  }
  return {1, 1};
}

// Tokens that a kernel multiplies with the weights it has read.
[[nodiscard]] constexpr std::uint32_t gemv_tokens(std::uint32_t tokens) noexcept {
  return tokens > 4 ? 8 : tokens > 2 ? 4 : tokens;
}

[[nodiscard]] inline std::string gemv_kernel(std::string_view verb, Packing packing,
                                             std::uint32_t tokens) {
  return std::string(verb) + '_' + std::string(name(packing)) + "_t" +
         std::to_string(gemv_tokens(tokens));
}

inline constexpr std::uint32_t kGemvRows = 16;  // of a threadgroup

}  // namespace bitnet::kernels
