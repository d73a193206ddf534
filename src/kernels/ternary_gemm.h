// SPDX-License-Identifier: MIT
// The kernels of shaders/ternary_gemm.metal as the host sees them: their parameters, names and
// grids. Also for benchmarks, which launch them by hand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bitnet/types.h"

#include "kernels/candidate.h"
#include "kernels/ternary_gemv.h"
#include "shaders/shader_types.h"

namespace bitnet::kernels {

// Tokens and rows of a threadgroup.
inline constexpr std::uint32_t kGemmTile = 64;
// From here on a tile of mostly absent tokens costs less than reading the weights for every eight.
inline constexpr std::uint32_t kGemmTokens = 17;
// Tokens are padded to whole 32 codes; group scales may change only there.
inline constexpr std::uint32_t kGemmCols = 32;
// Floats add integers of magnitude 2 * 128 * cols at most without rounding: see multiply_matrices.
inline constexpr std::uint32_t kExactFloatCols = (1U << 24) / 256;

[[nodiscard]] constexpr shaders::TernaryGemmParams gemm_params(
    const shaders::TernaryMatmulParams& params) noexcept {
  shaders::TernaryGemmParams gemm{
      .layout = params.layout,
      .code_cols = divided_up(params.layout.cols, kGemmCols) * kGemmCols,
      .tokens = params.tokens,
      .dtype = params.dtype};
  if (params.groups <= 1) gemm.layout.group_cols = gemm.code_cols == 0 ? 1 : gemm.code_cols;
  return gemm;
}

// "" or why no GEMM kernel takes the problem.
[[nodiscard]] constexpr std::string_view gemm_declines(
    const shaders::TernaryMatmulParams& params) noexcept {
  if (params.tokens < kGemmTokens) return "too few tokens to fill a tile";
  if (params.tokens > kMaxThreadgroupsY * kGemmTile) return "too many tokens for a grid";
  return params.groups > 1 && params.layout.group_cols % kGemmCols != 0
             ? "group size is not a multiple of 32"
             : "";
}
// "" or why the kernels that add in float do not.
[[nodiscard]] constexpr std::string_view matrices_decline(
    const shaders::TernaryMatmulParams& params) noexcept {
  if (params.groups > 1) return "weights have group scales";
  return params.layout.cols > kExactFloatCols ? "sums of so many columns are not exact in float"
                                              : "";
}

[[nodiscard]] inline std::string tiles_kernel(Packing packing) {
  return "multiply_tiles_" + std::string(name(packing));
}
[[nodiscard]] inline std::string matrices_kernel(Packing packing) {
  return "multiply_matrices_" + std::string(name(packing));
}
// In ternary_gemm_tensor.metal.
[[nodiscard]] inline std::string tensors_kernel(Packing packing) {
  return "multiply_tensors_" + std::string(name(packing));
}
[[nodiscard]] inline Launch gemm_launch(const shaders::TernaryMatmulParams& params) {
  return {.threadgroups = {.x = divided_up(params.layout.rows, kGemmTile),
                           .y = divided_up(params.tokens, kGemmTile)},
          .threads_per_threadgroup = {.x = 128}};
}

}  // namespace bitnet::kernels
