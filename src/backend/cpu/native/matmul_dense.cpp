// SPDX-License-Identifier: MIT
// Dense weights times float activations, accumulated in float.
#include <algorithm>
#include <array>

#include "backend/cpu/native/float_ops.h"
#include "backend/cpu/native/matmul_rows.h"
#include "backend/cpu/native/matmul_tables.h"
#include "shaders/shader_types.h"

namespace bitnet::backend::cpu {
namespace {

constexpr std::size_t kLanes = 16;

template <DType dtype>
void widen(const void* weights, std::size_t begin, std::size_t count, float* floats) {
  if constexpr (dtype == DType::i8) {
    const auto* bytes = static_cast<const std::int8_t*>(weights) + begin;
    for (std::size_t i = 0; i < count; ++i) floats[i] = static_cast<float>(bytes[i]);
  } else if constexpr (dtype == DType::f16) {
    kGenericOps.widen_f16(static_cast<const float16*>(weights) + begin, floats, count);
  } else if constexpr (dtype == DType::bf16) {
    kGenericOps.widen_bf16(static_cast<const bfloat16*>(weights) + begin, floats, count);
  } else {
    std::copy_n(static_cast<const float*>(weights) + begin, count, floats);
  }
}

float add_lanes(std::array<float, kLanes>& lanes) {
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

template <DType dtype>
void dot_generic(const DenseBlock& block, float* sums) {
  std::array<float, 16 * kLanes> weights;
  for (int r = 0; r < block.rows; ++r) {
    std::array<std::array<float, kLanes>, kBlockTokens> lanes{};
    for (std::size_t col = 0; col < block.cols; col += weights.size()) {
      const std::size_t count = std::min(weights.size(), block.cols - col);
      widen<dtype>(block.weights, static_cast<std::size_t>(r) * block.row_stride + col, count,
                   weights.data());
      for (std::size_t t = 0; t < static_cast<std::size_t>(block.tokens); ++t) {
        const float* x = block.x + t * block.token_stride + col;
        std::size_t k = 0;
        for (; k + kLanes <= count; k += kLanes) {
          for (std::size_t l = 0; l < kLanes; ++l) lanes[t][l] += weights[k + l] * x[k + l];
        }
        for (std::size_t l = 0; k + l < count; ++l) lanes[t][l] += weights[k + l] * x[k + l];
      }
    }
    for (std::size_t t = 0; t < static_cast<std::size_t>(block.tokens); ++t) {
      sums[static_cast<std::size_t>(r) * kBlockTokens + t] = add_lanes(lanes[t]);
    }
  }
}

// Buffers: weights, weight scales (null unless i8), x (f32), output. Work items are kItemRows rows.
template <DType dtype, DenseDot dot_block>
void dense(const Arguments& arguments, std::uint32_t begin, std::uint32_t end) noexcept {
  const auto& params = arguments.params<shaders::MatmulParams>();
  constexpr std::size_t kElement = dtype == DType::f32 ? 4 : dtype == DType::i8 ? 1 : 2;
  const std::size_t row_bytes = params.cols * kElement;
  const auto* scales = arguments.buffer<const float>(1);
  const auto visit = [&](std::size_t row, int rows, std::size_t token, int tokens) {
    std::array<float, kBlockRows * kBlockTokens> sums;
    dot_block({.weights = arguments.buffers[0] + row * row_bytes,
               .row_stride = params.cols,
               .x = arguments.buffer<const float>(2) + token * params.cols,
               .token_stride = params.cols,
               .cols = params.cols,
               .rows = rows,
               .tokens = tokens},
              sums.data());
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
      for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t) {
        const float sum = sums[r * kBlockTokens + t];
        store_float(scales == nullptr ? sum : sum * scales[row + r], arguments.buffers[3],
                    static_cast<DType>(params.dtype), (token + t) * params.rows + row + r);
      }
    }
  };
  for_each_tile(begin, end, params.rows, params.tokens, row_bytes, visit);
}

constexpr Kernel kKernels[] = {
    {"cpu_matmul_f32", InstructionSet::generic, dense<DType::f32, dot_generic<DType::f32>>},
    {"cpu_matmul_f16", InstructionSet::generic, dense<DType::f16, dot_generic<DType::f16>>},
    {"cpu_matmul_bf16", InstructionSet::generic, dense<DType::bf16, dot_generic<DType::bf16>>},
    {"cpu_matmul_i8", InstructionSet::generic, dense<DType::i8, dot_generic<DType::i8>>},
#if defined(__x86_64__)
    {"cpu_matmul_f32", InstructionSet::avx2, dense<DType::f32, dense_dot_f32_avx2>},
    {"cpu_matmul_f16", InstructionSet::avx2, dense<DType::f16, dense_dot_f16_avx2>},
    {"cpu_matmul_bf16", InstructionSet::avx2, dense<DType::bf16, dense_dot_bf16_avx2>},
    {"cpu_matmul_i8", InstructionSet::avx2, dense<DType::i8, dense_dot_i8_avx2>},
    {"cpu_matmul_f32", InstructionSet::avx512_vnni, dense<DType::f32, dense_dot_f32_avx512>},
    {"cpu_matmul_f16", InstructionSet::avx512_vnni, dense<DType::f16, dense_dot_f16_avx512>},
    {"cpu_matmul_bf16", InstructionSet::avx512_vnni, dense<DType::bf16, dense_dot_bf16_avx512>},
    {"cpu_matmul_i8", InstructionSet::avx512_vnni, dense<DType::i8, dense_dot_i8_avx512>},
#endif
};

}  // namespace

std::span<const Kernel> dense_matmul_kernels() noexcept { return kKernels; }

}  // namespace bitnet::backend::cpu
