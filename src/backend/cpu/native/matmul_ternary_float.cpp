// SPDX-License-Identifier: MIT
// Ternary weights times float activations. A row is unpacked once for a number of tokens.
#include <algorithm>
#include <array>

#include "backend/cpu/native/float_rows.h"
#include "backend/cpu/native/matmul_rows.h"
#include "backend/cpu/native/matmul_tables.h"
#include "backend/cpu/native/quantization_packing.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

constexpr std::uint32_t kTokens = 64;

// Columns [begin, begin + count) of a row of weights as floats, exactly.
void unpack_weights(const Arguments& arguments, std::uint32_t row, std::uint32_t begin,
                    std::uint32_t count, float* weights) {
  const shaders::TernaryLayout& layout = arguments.params<shaders::TernaryFloatParams>().layout;
  std::array<std::int8_t, kStretch> trits;
  unpack_row({static_cast<Packing>(layout.packing), layout.cols},
             arguments.buffer<const std::uint8_t>(0), row, begin, count, trits.data());
  const float* scales =
      arguments.buffer<const float>(1) + static_cast<std::size_t>(row) * layout.scale_stride;
  for (std::uint32_t i = 0; i < count;) {
    const std::uint32_t group = (begin + i) / layout.group_cols;
    const std::uint64_t group_end = (group + std::uint64_t{1}) * layout.group_cols - begin;
    const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(group_end, count));
    for (; i < end; ++i) weights[i] = static_cast<float>(trits[i]) * scales[group];
  }
}

// Buffers: packed, weight scales, x, output. Work items are rows.
void ternary_matmul_float(const FloatOps& ops, const Arguments& arguments, std::uint32_t begin,
                          std::uint32_t end) {
  const auto& params = arguments.params<shaders::TernaryFloatParams>();
  const std::uint32_t cols = params.layout.cols;
  const std::size_t element = params.x_dtype == static_cast<shaders::uint>(DType::f32) ? 4 : 2;
  const FloatOps::Scores dot = ops.scores[params.x_dtype];
  for (std::uint32_t row = begin; row < end; ++row) {
    for (std::size_t first = 0; first < params.tokens; first += kTokens) {
      const std::size_t tokens = std::min<std::size_t>(kTokens, params.tokens - first);
      std::array<float, kTokens> sums{};
      for (std::uint32_t col = 0; col < cols; col += kStretch) {
        const std::uint32_t count = std::min(kStretch, cols - col);
        std::array<float, kStretch> weights;
        unpack_weights(arguments, row, col, count, weights.data());
        for (std::size_t t = 0; t < tokens; ++t) {
          const std::byte* x = arguments.buffers[2] + ((first + t) * cols + col) * element;
          float sum;
          dot(weights.data(), x, 1, count, 1.0F, &sum);
          sums[t] += sum;
        }
      }
      for (std::size_t t = 0; t < tokens; ++t) {
        store_float(sums[t], arguments.buffers[3], static_cast<DType>(params.dtype),
                    (first + t) * params.layout.rows + row);
      }
    }
  }
}

constexpr auto kKernels = at_each_level<ternary_matmul_float>("cpu_ternary_matmul_float");

}  // namespace

std::span<const Kernel> float_ternary_matmul_kernels() noexcept { return kKernels; }

}  // namespace bitnet::backend::cpu
