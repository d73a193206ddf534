// SPDX-License-Identifier: MIT
// shaders/quantization.metal and quantization_activations.metal with launches and values that the
// operations do not choose themselves; tests/kernels/quantization_test.cpp runs all of them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>
#include <limits>

#include "shaders/shader_fixture.h"
#include "shaders/shader_types.h"
#include "shaders/typed_values.h"

extern "C" {
const bitnet::shaders::cpu::Library* bitnet_shader_library_quantization();
const bitnet::shaders::cpu::Library* bitnet_shader_library_quantization_activations();
}

namespace bitnet {
namespace {

using testing::bytes_of;
using testing::poisoned;
using testing::Random;
using testing::random_values;
using testing::reads;
using testing::writes;

constexpr float kLargest = std::numeric_limits<float>::max();

struct TwoFloats {
  float high;
  float low;
};

class WeightShaderTest : public testing::ShaderFixture {
 protected:
  WeightShaderTest() : ShaderFixture(bitnet_shader_library_quantization()) {}

  // Sums of the magnitudes of each row's groups, as multiples of 2^64.
  std::vector<TwoFloats> sums(const std::vector<double>& weights, DType dtype,
                              const shaders::SumWeightsParams& params, std::uint32_t simdgroups) {
    auto bytes = bytes_of(weights, dtype);
    const std::uint32_t count = params.rows * params.groups;
    auto output = poisoned<TwoFloats>(count);
    run("sum_weights_" + std::string(name(dtype)), {reads(bytes), writes(output)}, params,
        {(count + simdgroups - 1) / simdgroups}, {32 * simdgroups});
    return output;
  }
  float scale_of_tensor(std::vector<TwoFloats> sums, std::uint32_t cols, std::uint32_t threads) {
    auto scale = poisoned<float>(1);
    const auto rows = static_cast<std::uint32_t>(sums.size());
    run("average_all_weights", {reads(sums), writes(scale)},
        shaders::WeightScalesParams{1, rows, cols, cols, 1}, {1}, {threads});
    return scale[0];
  }
};

TEST_F(WeightShaderTest, SumsAreGoodTo40Bits) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const DType dtype : testing::kFloatTypes) {
    for (const std::uint32_t cols : {1U, 3U, 4U, 127U, 128U, 132U, 1009U, 2560U}) {
      for (const std::uint32_t group_cols : {1U, 4U, 7U, 128U, 5000U}) {
        if (group_cols == 1 && cols > 200) continue;
        const std::uint32_t columns = std::min(group_cols, cols);
        const std::uint32_t groups = (cols + columns - 1) / columns;
        const shaders::SumWeightsParams params{
            .rows = 3,
            .cols = cols,
            .dtype = static_cast<unsigned>(dtype),
            .aligned = cols % 4 == 0 && columns % 4 == 0 && random.integer(0, 1) == 1,
            .group_cols = columns,
            .groups = groups};
        SCOPED_TRACE(::testing::Message() << name(dtype) << ' ' << cols << " / " << columns);
        const float size = std::ldexp(1.0F, static_cast<int>(random.integer(-12, 12)));
        const auto weights = random_values(random, std::size_t{3} * cols, dtype, size);
        const auto got = sums(weights, dtype, params, 3);
        for (std::uint32_t row = 0; row < 3; ++row) {
          for (std::uint32_t group = 0; group < groups; ++group) {
            double sum = 0;  // exact to 2^-53 of itself for each of the columns
            const std::uint32_t last = std::min(cols, (group + 1) * columns);
            for (std::uint32_t col = group * columns; col < last; ++col) {
              sum += std::fabs(weights[std::size_t{row} * cols + col]);
            }
            const TwoFloats& two = got[row * groups + group];
            const double value = std::ldexp(double(two.high) + double(two.low), 64);
            // Additions of a lane, of at most 2 u^2 each, and five of 3 u^2: two_float.metal.h.
            const double bound = (2.0 * (columns / 32 + 4) + 15) * 0x1p-48 + columns * 0x1p-53;
            ASSERT_LE(std::fabs(value - sum), bound * sum) << row << ' ' << group;
            ASSERT_LE(std::fabs(two.low), std::fabs(two.high) * 0x1p-24F);
          }
        }
      }
    }
  }
}

TEST_F(WeightShaderTest, ScalesAreTheNearestFloatToTheMean) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  int nearest_of_all = 0;
  constexpr int kRounds = 40;
  for (int round = 0; round < kRounds; ++round) {
    const auto rows = static_cast<std::uint32_t>(random.integer(1, 300));
    const auto cols = static_cast<std::uint32_t>(random.integer(1, 60));
    const auto weights = random_values(random, std::size_t{rows} * cols, DType::f32, 0.02F);
    const shaders::SumWeightsParams params{
        .rows = rows, .cols = cols, .dtype = 0, .aligned = 0, .group_cols = cols, .groups = 1};
    const float scale =
        scale_of_tensor(sums(weights, DType::f32, params, 1), cols, random.integer(0, 1) ? 32 : 96);
    long double sum = 0;
    for (const double weight : weights) sum += std::fabs(weight);
    const long double mean = sum / (static_cast<long double>(rows) * cols);
    const auto expected = static_cast<float>(mean);
    nearest_of_all += scale == expected ? 1 : 0;
    // Otherwise the mean is this close to the middle between the two.
    const long double middle = (static_cast<long double>(scale) + expected) / 2;
    ASSERT_TRUE(scale == expected || std::fabs(mean - middle) < mean * 0x1p-38L)
        << rows << " x " << cols << ": " << scale << " for " << static_cast<double>(mean);
  }
  EXPECT_GE(nearest_of_all, kRounds - 1);  // the chance of one exception is below 2^-7
}

TEST_F(WeightShaderTest, LargeSumsDoNotOverflowAndSmallOnesReachTheFloor) {
  const auto scale = [&](double magnitude) {
    const std::vector<double> weights(std::size_t{40} * 100, magnitude);
    const shaders::SumWeightsParams params{
        .rows = 40, .cols = 100, .dtype = 0, .aligned = 1, .group_cols = 100, .groups = 1};
    return scale_of_tensor(sums(weights, DType::f32, params, 2), 100, 64);
  };
  EXPECT_EQ(scale(kLargest), kLargest);
  EXPECT_EQ(scale(-1e38F), 1e38F);
  EXPECT_EQ(scale(static_cast<double>(1.00001e-5F)), 1.00001e-5F);
  EXPECT_EQ(scale(static_cast<double>(0.99999e-5F)), 1e-5F);
  EXPECT_EQ(scale(static_cast<double>(std::numeric_limits<float>::denorm_min())), 1e-5F);
  EXPECT_EQ(scale_of_tensor({}, 0, 64), 1e-5F);
  // A count that is no float, and the sum of so many ones.
  constexpr std::uint32_t kCols = 268435459;
  EXPECT_EQ(scale_of_tensor({{0x1p-36F, 3 * 0x1p-64F}}, kCols, 32), 1.0F);
}

class ActivationShaderTest : public testing::ShaderFixture {
 protected:
  ActivationShaderTest() : ShaderFixture(bitnet_shader_library_quantization_activations()) {}
};

TEST_F(ActivationShaderTest, CodesDoNotDependOnTheLaunch) {
  Random random;
  SCOPED_TRACE(testing::trace(random));
  for (const DType dtype : testing::kFloatTypes) {
    for (const std::uint32_t cols : {1U, 4U, 31U, 256U, 1020U, 1021U}) {
      const auto x = random_values(random, std::size_t{3} * cols, dtype, 5.0F);
      auto bytes = bytes_of(x, dtype);
      std::vector<std::int8_t> expected;
      std::vector<float> expected_scales;
      for (std::uint32_t row = 0; row < 3; ++row) {
        float most = 1e-5F;
        for (std::uint32_t i = 0; i < cols; ++i) {
          most = std::max(most, static_cast<float>(std::fabs(x[std::size_t{row} * cols + i])));
        }
        const float factor = 1.0F / most * 127.0F;
        for (std::uint32_t i = 0; i < cols; ++i) {
          const float product = static_cast<float>(x[std::size_t{row} * cols + i]) * factor;
          expected.push_back(static_cast<std::int8_t>(std::nearbyint(product)));
        }
        expected_scales.push_back(most / 127.0F);
      }
      for (const std::uint32_t threads : {32U, 96U, 224U}) {
        for (const std::uint32_t aligned : {0U, 1U}) {
          if (aligned == 1 && cols % 4 != 0) continue;
          auto codes = poisoned<std::int8_t>(std::size_t{3} * cols);
          auto scales = poisoned<float>(3);
          run("quantize_activations_" + std::string(name(dtype)),
              {reads(bytes), writes(codes), writes(scales)},
              shaders::QuantizeActivationsParams{cols, static_cast<unsigned>(dtype), aligned}, {3},
              {threads});
          ASSERT_EQ(codes, expected) << name(dtype) << ' ' << cols << ' ' << threads;
          ASSERT_EQ(scales, expected_scales);
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitnet
