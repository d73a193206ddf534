// SPDX-License-Identifier: MIT
// Every instantiation of shaders/ternary_gemm.metal against plain sums, bit for bit; group scales
// within a bound.
#include "kernels/ternary_gemm.h"

#include <cmath>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "support/float_check.h"
#include "support/random.h"
#include "tensor/layout.h"

extern "C" const bitnet::shaders::cpu::Library* bitnet_shader_library_ternary_gemm();

namespace bitnet {
namespace {

using testing::poisoned;
using testing::Random;
using testing::reads;
using testing::writes;

constexpr Packing kPackings[] = {Packing::two_bit, Packing::two_bit_tiled, Packing::five_in_eight,
                                 Packing::three_in_five};

struct Size {
  std::uint32_t rows, cols, tokens;
};
// Around the tile of 64 rows, tokens and columns, the 32 columns and 16 of a fetch, and the blocks
// of 80 and 384 columns of the denser packings.
constexpr Size kSizes[] = {{1, 1, 1},    {3, 0, 2},    {2, 31, 63},   {63, 33, 1},  {64, 64, 64},
                           {65, 95, 65}, {7, 385, 66}, {130, 161, 3}, {5, 1021, 9}, {66, 127, 129}};

struct Weights {
  std::vector<std::int8_t> trits;
  std::vector<std::byte> packed;
};

class TernaryGemmShaderTest : public testing::ShaderFixture {
 protected:
  TernaryGemmShaderTest() : ShaderFixture(bitnet_shader_library_ternary_gemm()) {}

  Weights random_weights(Packing packing, Size size) {
    Weights weights{random_.trits(std::size_t{size.rows} * size.cols),
                    std::vector<std::byte>(packed_size(packing, size.rows, size.cols))};
    layout::pack(packing, weights.trits, size.rows, size.cols, weights.packed);
    if (weights.packed.empty()) weights.packed.resize(1);  // K = 0: a buffer is never null
    return weights;
  }
  // Codes of `size`, each token padded with zeros as the kernels take them.
  static std::vector<std::int8_t> padded(const std::vector<std::int8_t>& codes, Size size) {
    const std::uint32_t cols = params_of(Packing::two_bit, size, DType::i32).code_cols;
    std::vector<std::int8_t> result(std::size_t{size.tokens} * cols);
    for (std::size_t t = 0; t < size.tokens; ++t) {
      std::copy_n(codes.begin() + static_cast<std::ptrdiff_t>(t * size.cols), size.cols,
                  result.begin() + static_cast<std::ptrdiff_t>(t * cols));
    }
    return result;
  }
  static shaders::TernaryGemmParams params_of(Packing packing, Size size, DType dtype,
                                              std::uint32_t group = 0) {
    const std::uint32_t groups = group == 0 ? 1 : kernels::divided_up(size.cols, group);
    return kernels::gemm_params({.layout = {.rows = size.rows,
                                            .cols = size.cols,
                                            .packing = static_cast<std::uint32_t>(packing),
                                            .group_cols = std::max(group, 1U),
                                            .scale_stride = groups},
                                 .tokens = size.tokens,
                                 .groups = groups,
                                 .dtype = static_cast<std::uint32_t>(dtype)});
  }
  template <typename T>
  std::vector<T> multiply(const std::string& kernel, const shaders::TernaryGemmParams& params,
                          std::vector<std::byte>& packed, std::vector<float>& weight_scales,
                          std::vector<std::int8_t>& codes, std::vector<float>& activation_scales) {
    auto output = poisoned<T>(std::size_t{params.tokens} * params.layout.rows);
    const kernels::Launch launch = kernels::gemm_launch(
        {.layout = params.layout, .tokens = params.tokens, .groups = 1, .dtype = 0});
    run(kernel,
        {reads(packed), reads(weight_scales), reads(codes), reads(activation_scales),
         writes(output)},
        params, launch.threadgroups, launch.threads_per_threadgroup);
    return output;
  }
  static std::int32_t sum_of(const Weights& weights, const std::vector<std::int8_t>& codes,
                             Size size, std::uint32_t row, std::uint32_t token, std::uint32_t begin,
                             std::uint32_t end) {
    std::int32_t sum = 0;
    for (std::uint32_t k = begin; k < end; ++k) {
      sum += weights.trits[std::size_t{row} * size.cols + k] *
             codes[std::size_t{token} * size.cols + k];
    }
    return sum;
  }

  Random random_;
};

TEST_F(TernaryGemmShaderTest, SumsAndScaledSumsAreExact) {
  SCOPED_TRACE(testing::trace(random_));
  for (const Size size : kSizes) {
    const auto codes = random_.codes(std::size_t{size.tokens} * size.cols);
    auto padded_codes = padded(codes, size);
    auto weight_scales = random_.normal(size.rows, 0.01F);
    auto activation_scales = random_.normal(size.tokens);
    for (const Packing packing : kPackings) {
      Weights weights = random_weights(packing, size);
      for (const std::string& kernel :
           {kernels::tiles_kernel(packing), kernels::matrices_kernel(packing)}) {
        SCOPED_TRACE(kernel + ' ' + std::to_string(size.rows) + ' ' + std::to_string(size.cols) +
                     ' ' + std::to_string(size.tokens));
        const auto sums =
            multiply<std::int32_t>(kernel, params_of(packing, size, DType::i32), weights.packed,
                                   weight_scales, padded_codes, activation_scales);
        const auto floats =
            multiply<float>(kernel, params_of(packing, size, DType::f32), weights.packed,
                            weight_scales, padded_codes, activation_scales);
        for (std::uint32_t t = 0; t < size.tokens; ++t) {
          for (std::uint32_t n = 0; n < size.rows; ++n) {
            const std::size_t at = std::size_t{t} * size.rows + n;
            const std::int32_t sum = sum_of(weights, codes, size, n, t, 0, size.cols);
            ASSERT_EQ(sums[at], sum) << "token " << t << ", row " << n;
            ASSERT_EQ(floats[at],
                      static_cast<float>(sum) * (weight_scales[n] * activation_scales[t]))
                << "token " << t << ", row " << n;
          }
        }
      }
    }
  }
}

// The largest sums that floats hold exactly, and beyond it the kernel that needs no floats.
TEST_F(TernaryGemmShaderTest, TheLongestRows) {
  for (const bool matrices : {true, false}) {
    const std::uint32_t cols = kernels::kExactFloatCols + (matrices ? 0 : 33);
    const Size size{1, cols, 2};
    std::vector<float> scales(2);
    for (const int trit : {-1, 1}) {
      Weights weights{std::vector<std::int8_t>(cols, static_cast<std::int8_t>(trit)),
                      std::vector<std::byte>(packed_size(Packing::two_bit, 1, cols))};
      layout::pack(Packing::two_bit, weights.trits, 1, cols, weights.packed);
      std::vector<std::int8_t> codes(2 * std::size_t{cols}, 127);
      std::fill_n(codes.begin(), cols, static_cast<std::int8_t>(-128));
      codes[5] = -127;  // an odd sum
      auto padded_codes = padded(codes, size);
      const auto sums = multiply<std::int32_t>(matrices ? kernels::matrices_kernel(Packing::two_bit)
                                                        : kernels::tiles_kernel(Packing::two_bit),
                                               params_of(Packing::two_bit, size, DType::i32),
                                               weights.packed, scales, padded_codes, scales);
      EXPECT_EQ(sums[0], trit * (-128 * static_cast<std::int32_t>(cols) + 1));
      EXPECT_EQ(sums[1], trit * 127 * static_cast<std::int32_t>(cols));
    }
  }
}

TEST_F(TernaryGemmShaderTest, GroupScales) {
  SCOPED_TRACE(testing::trace(random_));
  for (const Size size : {Size{65, 200, 3}, Size{3, 97, 66}, Size{4, 513, 5}}) {
    for (const std::uint32_t group : {32U, 64U, 96U, 160U}) {
      const std::uint32_t groups = kernels::divided_up(size.cols, group);
      const auto codes = random_.codes(std::size_t{size.tokens} * size.cols);
      auto padded_codes = padded(codes, size);
      auto weight_scales = random_.normal(std::size_t{size.rows} * groups, 0.01F);
      auto activation_scales = random_.normal(size.tokens);
      for (const Packing packing : kPackings) {
        if (groups == 1) continue;  // has other parameters
        SCOPED_TRACE(kernels::tiles_kernel(packing) + ' ' + std::to_string(size.cols) + '/' +
                     std::to_string(group));
        Weights weights = random_weights(packing, size);
        const auto floats = multiply<float>(
            kernels::tiles_kernel(packing), params_of(packing, size, DType::f32, group),
            weights.packed, weight_scales, padded_codes, activation_scales);
        for (std::uint32_t t = 0; t < size.tokens; ++t) {
          for (std::uint32_t n = 0; n < size.rows; ++n) {
            // The sum has one order, that of the columns.
            float expected = 0;
            for (std::uint32_t g = 0; g < groups; ++g) {
              const std::int32_t sum = sum_of(weights, codes, size, n, t, g * group,
                                              std::min((g + 1) * group, size.cols));
              expected += static_cast<float>(sum) *
                          (weight_scales[std::size_t{n} * groups + g] * activation_scales[t]);
            }
            ASSERT_EQ(floats[std::size_t{t} * size.rows + n], expected)
                << "token " << t << ", row " << n;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitnet
