// SPDX-License-Identifier: MIT
// Rotary frequencies against those of transformers 5.23 with torch 2.15, printed with float.hex:
// modeling_rope_utils.ROPE_INIT_FUNCTIONS of a LlamaConfig with these values.
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "bitnet/model.h"

namespace bitnet {
namespace {

// Both programs' powf is within one unit of the last place; each division adds half of one.
void expect_ulps(std::span<const float> actual, std::span<const float> expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const float ulp = std::numeric_limits<float>::epsilon() * expected[i];
    EXPECT_NEAR(actual[i], expected[i], 4 * ulp) << "pair " << i;
  }
}

ModelConfig config(double theta, std::int64_t head_dim, const RopeScaling& scaling = {}) {
  ModelConfig result;
  result.rope_theta = theta;
  result.head_dim = head_dim;
  result.rope_scaling = scaling;
  return result;
}

constexpr std::array<float, 5> kPlain = {0x1p+0F, 0x1.44960cp-3F, 0x1.9b8c26p-6F, 0x1.04e748p-8F,
                                         0x1.4acda8p-11F};

TEST(InverseFrequencies, Plain) {
  expect_ulps(config(10000, 10).inverse_frequencies(), kPlain);
  EXPECT_TRUE(config(10000, 0).inverse_frequencies().empty());
}

TEST(InverseFrequencies, Linear) {
  const RopeScaling scaling{.type = RopeScaling::Type::linear, .factor = 4};
  std::array<float, 5> expected = kPlain;
  for (float& frequency : expected) frequency /= 4;
  expect_ulps(config(10000, 10, scaling).inverse_frequencies(), expected);
}

// Pairs 0 to 14 are kept, 15 to 17 are blended, the rest divided by 8.
TEST(InverseFrequencies, Llama3) {
  constexpr std::array<float, 32> kExpected = {
      0x1.000000p+0F,  0x1.53c38cp-1F,  0x1.c2ef78p-2F,  0x1.2b3dc6p-2F,  0x1.8d2760p-3F,
      0x1.078d40p-3F,  0x1.5dc95ap-4F,  0x1.d03ccep-5F,  0x1.341190p-5F,  0x1.98de92p-6F,
      0x1.0f5386p-6F,  0x1.681adap-7F,  0x1.ddee9ep-8F,  0x1.3d2804p-8F,  0x1.a4ee40p-9F,
      0x1.67a23ap-10F, 0x1.132ba4p-11F, 0x1.765ba4p-13F, 0x1.46831ap-14F, 0x1.b15902p-15F,
      0x1.1f91f0p-15F, 0x1.7da9e8p-16F, 0x1.fa8b86p-17F, 0x1.5024d6p-17F, 0x1.be2188p-18F,
      0x1.280d96p-18F, 0x1.88ec20p-19F, 0x1.04be68p-19F, 0x1.5a0f4ep-20F, 0x1.cb4a9ap-21F,
      0x1.30c94ep-21F, 0x1.948360p-22F};
  const RopeScaling scaling{.type = RopeScaling::Type::llama3,
                            .factor = 8,
                            .low_frequency_factor = 1,
                            .high_frequency_factor = 4,
                            .original_max_positions = 8192};
  expect_ulps(config(500000, 64, scaling).inverse_frequencies(), kExpected);
}

}  // namespace
}  // namespace bitnet
