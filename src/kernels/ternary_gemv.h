// SPDX-License-Identifier: MIT
// The kernels of shaders/ternary_gemv.metal as the host sees them: their names, the order of the
// activation codes they take, and their grids. Also for benchmarks, which launch them by hand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "bitnet/types.h"

#include "kernels/candidate.h"
#include "shaders/shader_types.h"

namespace bitnet::kernels {

// The codes of a token lie in planes: plane i holds columns i, planes + i, 2 planes + i, ...,
// padded with zeros to a multiple of `block` columns. One plane is their natural order.
struct CodePlanes {
  std::uint32_t planes;
  std::uint32_t block;
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
[[nodiscard]] constexpr std::uint32_t plane_cols(Packing packing, std::uint32_t cols) noexcept {
  const auto [planes, block] = code_planes(packing);
  return (cols + block - 1) / block * (block / planes);
}

// Tokens that a kernel multiplies with the weights it has read.
[[nodiscard]] constexpr std::uint32_t gemv_tokens(std::uint32_t tokens) noexcept {
  return tokens > 4 ? 8 : tokens > 2 ? 4 : tokens;
}
// Rows of a threadgroup: few while there are too few threadgroups to fill a large GPU. The packings
// that cost more to unpack gain from unpacking for fewer threadgroups only with a single token.
[[nodiscard]] constexpr std::uint32_t gemv_rows(Packing packing, std::uint32_t rows,
                                                std::uint32_t tokens) noexcept {
  const bool two_bits = packing == Packing::two_bit || packing == Packing::two_bit_tiled;
  return rows < 8192 && (two_bits || tokens == 1) ? 8 : 16;
}
[[nodiscard]] inline std::string gemv_kernel(Packing packing, std::uint32_t rows,
                                             std::uint32_t tokens) {
  return "multiply_ternary_" + std::string(name(packing)) + "_t" +
         std::to_string(gemv_tokens(tokens)) + "_r" +
         std::to_string(gemv_rows(packing, rows, tokens));
}
[[nodiscard]] inline std::string grouped_gemv_kernel(Packing packing, std::uint32_t tokens) {
  return "multiply_ternary_groups_" + std::string(name(packing)) + "_t" +
         std::to_string(gemv_tokens(tokens)) + "_r16";
}

[[nodiscard]] constexpr std::uint32_t divided_up(std::uint32_t a, std::uint32_t b) noexcept {
  return (a + b - 1) / b;
}
// Threadgroups along y, which CUDA limits; kernels whose y are tokens loop over them.
inline constexpr std::uint32_t kMaxThreadgroupsY = 65535;

[[nodiscard]] inline Launch gemv_launch(const shaders::TernaryMatmulParams& params) {
  const auto packing = static_cast<Packing>(params.layout.packing);
  const std::uint32_t simdgroups = packing == Packing::two_bit_tiled ? 5 : 4;
  return {.threadgroups = {.x = divided_up(params.layout.rows,
                                           gemv_rows(packing, params.layout.rows, params.tokens)),
                           .y = divided_up(params.tokens, gemv_tokens(params.tokens))},
          .threads_per_threadgroup = {.x = 32 * simdgroups}};
}
[[nodiscard]] inline Launch grouped_gemv_launch(const shaders::TernaryMatmulParams& params) {
  return {.threadgroups = {.x = divided_up(params.layout.rows, 16),
                           .y = divided_up(params.tokens, gemv_tokens(params.tokens))},
          .threads_per_threadgroup = {.x = 128}};
}

}  // namespace bitnet::kernels
