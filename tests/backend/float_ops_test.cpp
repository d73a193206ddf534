// SPDX-License-Identifier: MIT
#include "backend/cpu/native/float_ops.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <vector>

#include "support/float_check.h"

namespace bitnet::backend::cpu {
namespace {

using testing::Random;
using testing::trace;

struct Level {
  std::string name;
  const FloatOps* ops;
};

std::vector<Level> levels() {
  std::vector<Level> list = {{"generic", &kGenericOps}};
#if defined(__x86_64__)
  const InstructionSet best = detect_instruction_set();
  if (includes(best, InstructionSet::avx2)) list.push_back({"avx2", &kAvx2Ops});
  if (includes(best, InstructionSet::avx512_vnni)) list.push_back({"avx512", &kAvx512Ops});
#endif
  return list;
}

class FloatOpsTest : public ::testing::TestWithParam<Level> {
 protected:
  [[nodiscard]] static const FloatOps& ops() { return *GetParam().ops; }
};

// Units in the last place of a float near `value`, gradual underflow included.
double ulp(double value) {
  return std::ldexp(1.0, std::max(std::ilogb(std::fabs(value) + 0x1p-149), -126) - 23);
}

constexpr std::size_t kLengths[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 257};

TEST_P(FloatOpsTest, ExpIsWithinItsBoundOverTheWholeRange) {
  // Every 4099th float of both signs up to the last finite and non-zero results.
  std::vector<float> x;
  for (std::uint32_t bits = 0; std::bit_cast<float>(bits) < 104.0F; bits += 4099) {
    x.push_back(-std::bit_cast<float>(bits));
    if (x.back() > -88.72F) x.push_back(-x.back());
  }
  std::vector<float> y(x.size());
  ops().exp_sum(x.data(), 0.0F, y.data(), x.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const double error = std::fabs(static_cast<double>(y[i]) - exact) / ulp(exact);
    ASSERT_LE(error, 1.02) << "exp(" << x[i] << ") = " << y[i];
    worst = std::max(worst, error);
  }
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST_P(FloatOpsTest, ExpOfSpecialValues) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-kInfinity, -200.0F, -104.0F,   0.0F,         -0.0F,
                                89.0F,      1000.0F, kInfinity, std::nanf("")};
  std::vector<float> y(x.size());
  ops().exp_sum(x.data(), 0.0F, y.data(), x.size());
  const std::vector<float> expected = {0, 0, 0, 1, 1, kInfinity, kInfinity, kInfinity};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), y.begin()));
  EXPECT_TRUE(std::isnan(y.back()));
}

TEST_P(FloatOpsTest, SumsHaveTheSameBitsAsTheGenericLevel) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const std::size_t n : kLengths) {
    const std::vector<float> x = random.normal(n, 100.0F);
    EXPECT_EQ(ops().sum(x.data(), n), kGenericOps.sum(x.data(), n)) << n;
    EXPECT_EQ(ops().sum_squares(x.data(), n), kGenericOps.sum_squares(x.data(), n)) << n;
    double exact = 0.0;
    for (const float value : x) exact += static_cast<double>(value) * static_cast<double>(value);
    EXPECT_NEAR(ops().sum_squares(x.data(), n), exact, exact * 1e-13) << n;
    EXPECT_NEAR(ops().sum(x.data(), n), std::accumulate(x.begin(), x.end(), 0.0),
                std::sqrt(exact * static_cast<double>(n)) * 1e-13)
        << n;
  }
}

TEST_P(FloatOpsTest, ExpSumReturnsTheSumOfWhatItWrites) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const std::size_t n : kLengths) {
    const std::vector<float> x = random.normal(n, 3.0F);
    std::vector<float> y(n + 1, -7.0F);
    const double sum = ops().exp_sum(x.data(), 1.5F, y.data(), n);
    const double expected = std::accumulate(y.begin(), y.end() - 1, 0.0);
    EXPECT_NEAR(sum, expected, expected * 1e-14) << n;
    EXPECT_EQ(y[n], -7.0F) << "wrote past the end of " << n;
  }
}

TEST_P(FloatOpsTest, MaximaOfAnyLengthFindANanAnywhere) {
  Random random;
  SCOPED_TRACE(trace(random));
  EXPECT_EQ(ops().max(nullptr, 0), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(ops().absmax(nullptr, 0), 0.0F);
  for (const std::size_t n : kLengths) {
    if (n == 0) continue;
    std::vector<float> x = random.normal(n);
    for (float& value : x) value -= 10.0F;  // all negative: padding must not win
    EXPECT_EQ(ops().max(x.data(), n), *std::max_element(x.begin(), x.end())) << n;
    EXPECT_EQ(ops().absmax(x.data(), n), -*std::min_element(x.begin(), x.end())) << n;
    x[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(n) - 1))] =
        std::nanf("");
    EXPECT_TRUE(std::isnan(ops().max(x.data(), n))) << n;
    EXPECT_TRUE(std::isnan(ops().absmax(x.data(), n))) << n;
  }
}

TEST_P(FloatOpsTest, WideningIsExactForEveryPattern) {
  std::vector<float16> halves(1 << 16);
  std::vector<bfloat16> brains(1 << 16);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    halves[i].bits = brains[i].bits = static_cast<std::uint16_t>(i);
  }
  std::vector<float> from_half(halves.size());
  std::vector<float> from_brain(brains.size());
  ops().widen_f16(halves.data(), from_half.data(), halves.size());
  ops().widen_bf16(brains.data(), from_brain.data(), brains.size());
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const float half = to_float(halves[i]);
    ASSERT_TRUE(half == from_half[i] || (std::isnan(half) && std::isnan(from_half[i]))) << i;
    const float brain = to_float(brains[i]);
    ASSERT_TRUE(brain == from_brain[i] || (std::isnan(brain) && std::isnan(from_brain[i]))) << i;
  }
}

TEST_P(FloatOpsTest, NarrowingRoundsLikeTheScalarConversions) {
  // Every 997th float pattern: both signs, subnormals, overflow, infinities' neighbours, NaN.
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits <= 0xFFFFFFFFU; bits += 997 * 13) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (const float tie : {1.0F + 0x1p-11F, 1.0F + 0x3p-11F, 1.0F + 0x1p-8F, 1.0F + 0x3p-8F,
                          65519.99F, 65520.0F, 0x1p-25F, 0x3p-25F, 0x1.FFp127F}) {
    x.push_back(tie);
    x.push_back(-tie);
  }
  std::vector<float16> halves(x.size());
  std::vector<bfloat16> brains(x.size());
  ops().narrow_f16(x.data(), halves.data(), x.size());
  ops().narrow_bf16(x.data(), brains.data(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(to_float(halves[i])) && std::isnan(to_float(brains[i]))) << i;
    } else {
      ASSERT_EQ(halves[i].bits, to_float16(x[i]).bits) << x[i];
      ASSERT_EQ(brains[i].bits, to_bfloat16(x[i]).bits) << x[i];
    }
  }
}

TEST_P(FloatOpsTest, ConversionsOfAnyLengthTouchNothingElse) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const std::size_t n : kLengths) {
    const std::vector<float> x = random.normal(n);
    std::vector<bfloat16> narrow(n + 1, bfloat16{0x1234});
    ops().narrow_bf16(x.data(), narrow.data(), n);
    EXPECT_EQ(narrow[n].bits, 0x1234) << n;
    std::vector<float> wide(n + 1, -7.0F);
    ops().widen_bf16(narrow.data(), wide.data(), n);
    EXPECT_EQ(wide[n], -7.0F) << n;
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(narrow[i].bits, to_bfloat16(x[i]).bits) << n;
      ASSERT_EQ(wide[i], to_float(narrow[i])) << n;
    }
  }
}

TEST_P(FloatOpsTest, ARowsScoreDoesNotDependOnItsCompany) {
  Random random;
  SCOPED_TRACE(trace(random));
  for (const std::size_t width : {1U, 3U, 8U, 16U, 24U, 31U, 64U, 100U, 128U}) {
    constexpr std::size_t kCount = 29;
    const std::vector<float> query = random.normal(width);
    const std::vector<float> rows = random.normal(width * kCount);
    std::vector<float> together(kCount);
    ops().scores[0](query.data(), rows.data(), kCount, width, 0.25F, together.data());
    for (std::size_t r = 0; r < kCount; ++r) {
      float alone = 0.0F;
      ops().scores[0](query.data(), rows.data() + r * width, 1, width, 0.25F, &alone);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(alone), std::bit_cast<std::uint32_t>(together[r]));
      double exact = 0.0;
      double size = 0.0;
      for (std::size_t d = 0; d < width; ++d) {
        const double term =
            static_cast<double>(query[d]) * static_cast<double>(rows[r * width + d]);
        exact += term;
        size += std::fabs(term);
      }
      const double bound = 0.25 * size * testing::kEpsilon * (static_cast<double>(width) / 8 + 6);
      ASSERT_NEAR(static_cast<double>(alone), 0.25 * exact, bound) << "width " << width;
    }
  }
}

std::string level_name(const ::testing::TestParamInfo<Level>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Levels, FloatOpsTest, ::testing::ValuesIn(levels()), level_name);

}  // namespace
}  // namespace bitnet::backend::cpu
